-- limena.api_keys: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.api_keys enable row level security;
alter table limena.api_keys force row level security;

-- Not granted, on purpose: SELECT on key_hash (a hash that can be read can be passed to enter_api_key); UPDATE, which
-- is also the right to lock rows (a key is replaced, not altered: rotate_api_key; revoke_api_key ends one); DELETE (a
-- revoked key stays, for the log); INSERT on created_at and held_since, which have defaults; anything to limena_auth.
revoke all on limena.api_keys from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (
    tenant_id, id, name, prefix, last_four, scopes, created_by, created_at, expires_at, revoked_at, calls_per_minute,
    retires_at, replaced_by
)
on limena.api_keys to limena_app, limena_readonly;
grant insert (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by, expires_at, calls_per_minute)
on limena.api_keys to limena_app;

-- api_keys:write sees them too: who makes and revokes keys may know which there are. In a frozen tenant as well: a key
-- can be revoked there.
drop policy if exists api_keys_select_app on limena.api_keys;
create policy api_keys_select_app on limena.api_keys
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_even_frozen('api_keys:read', 'api_keys:write'))]));

-- Nobody makes a key in another's name, or one that holds more than they hold.
drop policy if exists api_keys_insert_app on limena.api_keys;
create policy api_keys_insert_app on limena.api_keys
for insert to limena_app
with check (limena.holds(tenant_id, created_by, scopes || 'api_keys:write'::text));

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

-- For revoke_api_key, revoke_all_api_keys, revoke_api_keys, retire_api_key and remove_member.
drop policy if exists api_keys_update_owner on limena.api_keys;
create policy api_keys_update_owner on limena.api_keys
for update to limena_owner
using (true);

-- For erase_tenant.
drop policy if exists api_keys_delete_owner on limena.api_keys;
create policy api_keys_delete_owner on limena.api_keys
for delete to limena_owner
using (true);

-- A key that is made belongs to someone who may make it, to the end of the transaction.
create or replace trigger admit_api_key
after insert on limena.api_keys
for each row execute function limena_private.admit_api_key();

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
    ]',
    p_ignored_columns => '{held_since}'
);
