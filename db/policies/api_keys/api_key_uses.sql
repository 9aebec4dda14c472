-- limena.api_key_uses: who may do what. Not audited: a counter of a kind, written at most once a minute a key.

alter table limena.api_key_uses enable row level security;
alter table limena.api_key_uses force row level security;

-- Not granted, on purpose: any writing (a key's row comes with it, and enter_api_key writes it); anything to
-- limena_auth.
revoke all on limena.api_key_uses from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (tenant_id, api_key_id, last_used_at) on limena.api_key_uses to limena_app, limena_readonly;

drop policy if exists api_key_uses_select_app on limena.api_key_uses;
create policy api_key_uses_select_app on limena.api_key_uses
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('api_keys:read'))]));

-- What an operator's declared access covers.
drop policy if exists api_key_uses_select_readonly on limena.api_key_uses;
create policy api_key_uses_select_readonly on limena.api_key_uses
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For enter_api_key. No LOGIN role inherits from limena_owner.
drop policy if exists api_key_uses_select_owner on limena.api_key_uses;
create policy api_key_uses_select_owner on limena.api_key_uses
for select to limena_owner
using (true);

-- For admit_api_key.
drop policy if exists api_key_uses_insert_owner on limena.api_key_uses;
create policy api_key_uses_insert_owner on limena.api_key_uses
for insert to limena_owner
with check (true);

drop policy if exists api_key_uses_update_owner on limena.api_key_uses;
create policy api_key_uses_update_owner on limena.api_key_uses
for update to limena_owner
using (true);

-- For erase_tenant.
drop policy if exists api_key_uses_delete_owner on limena.api_key_uses;
create policy api_key_uses_delete_owner on limena.api_key_uses
for delete to limena_owner
using (true);
