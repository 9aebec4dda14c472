-- limena.password_resets: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.password_resets enable row level security;
alter table limena.password_resets force row level security;

-- Not granted, on purpose: anything to limena_app and limena_auth (request_password_reset and reset_password are the
-- ways); SELECT on token_hash, to anyone (a hash that can be read can be passed to reset_password).
revoke all on limena.password_resets from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (id, user_id, created_at, expires_at, used_at) on limena.password_resets to limena_readonly;

-- Belongs to no tenant: for an operator's access to all. The first condition decides, the others keep indexes closed.
drop policy if exists password_resets_select_readonly on limena.password_resets;
create policy password_resets_select_readonly on limena.password_resets
for select to limena_readonly
using (
    (select limena.covers_all())
    and id >= case when (select limena.covers_all()) then '00000000-0000-0000-0000-000000000000'::uuid end
    and user_id >= case when (select limena.covers_all()) then '00000000-0000-0000-0000-000000000000'::uuid end
    and expires_at >= case when (select limena.covers_all()) then '-infinity'::timestamptz end
);

-- For request_password_reset, reset_password, change_password and prune. No LOGIN role inherits from limena_owner.
drop policy if exists password_resets_select_owner on limena.password_resets;
create policy password_resets_select_owner on limena.password_resets
for select to limena_owner
using (true);

drop policy if exists password_resets_insert_owner on limena.password_resets;
create policy password_resets_insert_owner on limena.password_resets
for insert to limena_owner
with check (true);

drop policy if exists password_resets_update_owner on limena.password_resets;
create policy password_resets_update_owner on limena.password_resets
for update to limena_owner
using (true);

drop policy if exists password_resets_delete_owner on limena.password_resets;
create policy password_resets_delete_owner on limena.password_resets
for delete to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.password_resets',
    p_entity_type => 'password_reset',
    p_key_columns => '{id}',
    p_entity_column => 'id',
    p_scope => 'user',
    p_scope_column => 'user_id',
    p_redacted_columns => '{token_hash}',
    p_column_actions => '[["used_at", "password_reset.used"]]'
);
