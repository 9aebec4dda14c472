-- The life of a tenant: frozen, to be deleted, deleted.

-- Deny first: a permission that someone adds is withheld in a frozen tenant unless they say otherwise.
alter table limena.permissions add column works_when_frozen boolean not null default false;
comment on column limena.permissions.works_when_frozen is
'Whether a frozen tenant keeps it: what reads. All others are withheld there.';
update limena.permissions
set works_when_frozen = true
where name like '%:read' or name = 'audit:export';

alter table limena.tenants drop constraint tenants_state_check;
alter table limena.tenants add constraint tenants_state_check check (
    state in ('active', 'frozen', 'deleting', 'deleted')
);
alter table limena.tenants add column deletion_due_at timestamptz
constraint tenants_deletion_due_at_check check ((state = 'deleting') = (deletion_due_at is not null));
comment on column limena.tenants.state is
'active; frozen: it can be read and not changed; deleting: the same, until deletion_due_at; deleted: nobody enters.';
comment on column limena.tenants.deletion_due_at is 'When a tenant that its owner has deleted is erased. Until then it can be restored.';
