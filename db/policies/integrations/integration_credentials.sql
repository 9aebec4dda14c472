-- limena.integration_credentials: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.integration_credentials enable row level security;
alter table limena.integration_credentials force row level security;

-- Not granted, on purpose: SELECT on ciphertext to anyone (read_integrations, use_integration and stale_credentials
-- hand it to the programs that can open it); every right to write (connect_integration, disconnect_integration,
-- settle_refresh and reseal_credentials do so); anything to limena_auth.
revoke all on limena.integration_credentials from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (tenant_id, integration_id, field, key_version, expires_at, created_at)
on limena.integration_credentials to limena_app, limena_readonly;

-- Whoever may connect sees what is connected.
drop policy if exists integration_credentials_select_app on limena.integration_credentials;
create policy integration_credentials_select_app on limena.integration_credentials
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('integrations:read', 'integrations:write'))]));

-- What an operator's declared access covers.
drop policy if exists integration_credentials_select_readonly on limena.integration_credentials;
create policy integration_credentials_select_readonly on limena.integration_credentials
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For read_integrations, use_integration, stale_credentials and credential_key_versions.
drop policy if exists integration_credentials_select_owner on limena.integration_credentials;
create policy integration_credentials_select_owner on limena.integration_credentials
for select to limena_owner
using (true);

-- For connect_integration and settle_refresh.
drop policy if exists integration_credentials_insert_owner on limena.integration_credentials;
create policy integration_credentials_insert_owner on limena.integration_credentials
for insert to limena_owner
with check (true);

-- For settle_refresh and reseal_credentials.
drop policy if exists integration_credentials_update_owner on limena.integration_credentials;
create policy integration_credentials_update_owner on limena.integration_credentials
for update to limena_owner
using (true);

-- For connect_integration, disconnect_integration and erase_tenant.
drop policy if exists integration_credentials_delete_owner on limena.integration_credentials;
create policy integration_credentials_delete_owner on limena.integration_credentials
for delete to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.integration_credentials',
    p_entity_type => 'integration_credential',
    p_key_columns => '{tenant_id, integration_id, field}',
    p_entity_column => 'integration_id',
    p_redacted_columns => '{ciphertext}',
    p_column_actions => '[["key_version", "integration_credential.resealed"]]'
);
