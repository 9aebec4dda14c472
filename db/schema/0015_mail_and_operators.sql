-- Mail that cannot be confused, invitations that are one at a time, keys that do not outlast a revocation, deletions
-- that a freeze does not cancel, and operators' accesses that end with the session behind them.

-- The id of a mail is what its token is made of, with its template and its recipient: two mails never share one.
alter table limena.outbox add constraint outbox_id_key unique (id);

-- One link to an address counts, also of two that are made at once.
create unique index invitations_tenant_id_email_open_key on limena.invitations (tenant_id, email)
where accepted_at is null and withdrawn_at is null;

-- A frozen tenant keeps the day on which it is to be erased; it is not erased while it is frozen.
alter table limena.tenants drop constraint tenants_deletion_due_at_check;
alter table limena.tenants add constraint tenants_deletion_due_at_check check (
    case state when 'deleting' then deletion_due_at is not null when 'frozen' then true else deletion_due_at is null end
);
comment on column limena.tenants.deletion_due_at is
'When a tenant that its owner has deleted is erased, unless it is frozen then. Until then it can be restored.';

-- A key that is being made while its creator leaves, or while all keys are revoked, commits afterwards. It is told by
-- its time: see limena_private.admit_api_key().
alter table limena.api_keys add column held_since timestamptz not null default now();
comment on column limena.api_keys.held_since is
'Since when created_by answers for the key. One from before their membership opens nothing: they left, and came back.';
alter table limena.tenants add column api_keys_revoked_at timestamptz;
comment on column limena.tenants.api_keys_revoked_at is
'When all keys were last revoked: none from before counts, also of those that come to light later.';

-- An access that the API declares is worth what the session is that it was declared in.
alter table limena.operator_access add column session_id uuid
constraint operator_access_session_id_fkey references limena.sessions (id) on delete set null;
alter table limena.operator_access add constraint operator_access_session_id_check check (
    session_id is null or user_id is not null
);
comment on column limena.operator_access.session_id is
'The session in which a platform admin had the API declare it: the access ends with it. NULL where user_id is.';
