-- limena.registrations: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.registrations enable row level security;
alter table limena.registrations force row level security;

-- Not granted, on purpose: anything to limena_app and limena_auth (request_registration and verify_registration are the
-- ways); SELECT on the hashes, to anyone.
revoke all on limena.registrations from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (id, email, display_name, tenant_name, created_at, expires_at, used_at)
on limena.registrations to limena_readonly;

-- Belongs to no tenant: for an operator's access to all. The first condition decides, the others keep indexes closed.
drop policy if exists registrations_select_readonly on limena.registrations;
create policy registrations_select_readonly on limena.registrations
for select to limena_readonly
using (
    (select limena.covers_all())
    and id >= case when (select limena.covers_all()) then '00000000-0000-0000-0000-000000000000'::uuid end
    and expires_at >= case when (select limena.covers_all()) then '-infinity'::timestamptz end
);

-- For request_registration, verify_registration and prune. No LOGIN role inherits from limena_owner.
drop policy if exists registrations_select_owner on limena.registrations;
create policy registrations_select_owner on limena.registrations
for select to limena_owner
using (true);

drop policy if exists registrations_insert_owner on limena.registrations;
create policy registrations_insert_owner on limena.registrations
for insert to limena_owner
with check (true);

drop policy if exists registrations_update_owner on limena.registrations;
create policy registrations_update_owner on limena.registrations
for update to limena_owner
using (true);

drop policy if exists registrations_delete_owner on limena.registrations;
create policy registrations_delete_owner on limena.registrations
for delete to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.registrations',
    p_entity_type => 'registration',
    p_key_columns => '{id}',
    p_entity_column => 'id',
    p_scope => 'platform',
    p_scope_column => null,
    p_redacted_columns => '{password_hash, token_hash, registrant_hash}',
    p_column_actions => '[["used_at", "registration.verified"]]'
);
