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

-- An invitation is withdrawn, or replaced by a later one to the same address.
alter table limena.invitations add column withdrawn_at timestamptz;

-- Keys: a rate, and an end that a rotation sets.
alter table limena.api_keys add column calls_per_minute integer
constraint api_keys_calls_per_minute_check check (calls_per_minute between 1 and 100000);
alter table limena.api_keys add column retires_at timestamptz;
alter table limena.api_keys add column replaced_by uuid
constraint api_keys_replaced_by_check check ((replaced_by is null) = (retires_at is null));
alter table limena.api_keys add constraint api_keys_replaced_by_fkey foreign key (tenant_id, replaced_by)
references limena.api_keys (tenant_id, id);
comment on column limena.api_keys.calls_per_minute is 'In any 60 seconds never more. NULL: as many as the key likes.';
comment on column limena.api_keys.retires_at is 'The end of the grace after a rotation; NULL: not rotated.';
comment on column limena.api_keys.replaced_by is 'The key that took its place in a rotation.';

-- The calls of a key in the last 61 seconds, one bucket a second. Apart from the key and from its last use, so that
-- counting waits for nothing but the counting of the same key's other calls.
create table limena.api_key_rates (
    tenant_id uuid not null,
    api_key_id uuid not null,
    second bigint not null,
    calls integer[] not null
    constraint api_key_rates_calls_check check (cardinality(calls) = 61),
    constraint api_key_rates_pkey primary key (tenant_id, api_key_id),
    constraint api_key_rates_api_key_id_fkey foreign key (tenant_id, api_key_id)
    references limena.api_keys (tenant_id, id) on delete cascade
) with (fillfactor = 50);
comment on table limena.api_key_rates is 'How often each key that has a rate was used of late. Not audited.';
comment on column limena.api_key_rates.second is 'The second, since the epoch, of the latest call.';
comment on column limena.api_key_rates.calls is 'Calls in that second, in the one before, and so on, 61 of them.';
