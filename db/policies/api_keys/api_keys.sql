-- limena.api_keys: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.api_keys enable row level security;
alter table limena.api_keys force row level security;

-- Not granted, on purpose: SELECT on key_hash (a hash that can be read can be passed to enter_api_key); UPDATE on
-- anything but revoked_at (a key is replaced, not altered: rotate_api_key); DELETE (a revoked key stays, for the log);
-- INSERT on created_at, which has a default; anything to limena_auth.
revoke all on limena.api_keys from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (
    tenant_id, id, name, prefix, last_four, scopes, created_by, created_at, expires_at, revoked_at, calls_per_minute,
    retires_at, replaced_by
)
on limena.api_keys to limena_app, limena_readonly;
grant insert (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by, expires_at, calls_per_minute)
on limena.api_keys to limena_app;
grant update (revoked_at)
on limena.api_keys to limena_app;

-- api_keys:write sees them too: PostgreSQL asks for SELECT on the rows that an UPDATE's WHERE names. In a frozen tenant
-- as well: a key can be revoked there.
drop policy if exists api_keys_select_app on limena.api_keys;
create policy api_keys_select_app on limena.api_keys
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_even_frozen('api_keys:read', 'api_keys:write'))]));

-- Nobody makes a key in another's name, or one that holds more than they hold.
drop policy if exists api_keys_insert_app on limena.api_keys;
create policy api_keys_insert_app on limena.api_keys
for insert to limena_app
with check (limena.holds(tenant_id, created_by, scopes || 'api_keys:write'::text));

-- A revoked key stays revoked: it is not visible to UPDATE once it is.
drop policy if exists api_keys_update_app on limena.api_keys;
create policy api_keys_update_app on limena.api_keys
for update to limena_app
using (tenant_id = any(array[(select limena.tenant_even_frozen('api_keys:write'))]) and revoked_at is null)
with check (tenant_id = any(array[(select limena.tenant_even_frozen('api_keys:write'))]));

-- What an operator's declared access covers.
drop policy if exists api_keys_select_readonly on limena.api_keys;
create policy api_keys_select_readonly on limena.api_keys
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For enter_api_key, before there is a context. No LOGIN role inherits from limena_owner.
drop policy if exists api_keys_select_owner on limena.api_keys;
create policy api_keys_select_owner on limena.api_keys
for select to limena_owner
using (true);

-- For retire_api_key, remove_member and revoke_api_keys.
drop policy if exists api_keys_update_owner on limena.api_keys;
create policy api_keys_update_owner on limena.api_keys
for update to limena_owner
using (true);

-- For erase_tenant.
drop policy if exists api_keys_delete_owner on limena.api_keys;
create policy api_keys_delete_owner on limena.api_keys
for delete to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.api_keys',
    p_entity_type => 'api_key',
    p_key_columns => '{tenant_id, id}',
    p_entity_column => 'id',
    p_redacted_columns => '{key_hash}',
    p_column_actions => '[
        ["revoked_at", "api_key.revoked"],
        ["replaced_by", "api_key.rotated"],
        ["created_by", "api_key.transferred"]
    ]'
);
