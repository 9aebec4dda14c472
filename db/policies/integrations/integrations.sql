-- limena.integrations: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.integrations enable row level security;
alter table limena.integrations force row level security;

-- Not granted, on purpose: DELETE (a disconnected integration stays, without credentials); UPDATE on provider, which
-- the ciphertexts' place depends on; anything to limena_auth.
revoke all on limena.integrations from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (
    tenant_id, id, provider, label, base_url, scopes, created_at, changed_by, connected_at, disconnected_at, failed_at,
    revocation, refresh_leased_until
)
on limena.integrations to limena_app, limena_readonly;
grant insert (tenant_id, id, provider, changed_by)
on limena.integrations to limena_app;
grant update (
    label, base_url, scopes, changed_by, connected_at, disconnected_at, failed_at, revocation, refresh_leased_until
)
on limena.integrations to limena_app;

-- integrations:write sees them too: PostgreSQL asks for SELECT on the rows that an UPDATE's WHERE names.
drop policy if exists integrations_select_app on limena.integrations;
create policy integrations_select_app on limena.integrations
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('integrations:read', 'integrations:write'))]));

-- Nobody connects, or disconnects, in another's name.
drop policy if exists integrations_insert_app on limena.integrations;
create policy integrations_insert_app on limena.integrations
for insert to limena_app
with check (limena.holds(tenant_id, changed_by, '{integrations:write}'));

drop policy if exists integrations_update_app on limena.integrations;
create policy integrations_update_app on limena.integrations
for update to limena_app
using (tenant_id = any(array[(select limena.tenant_with('integrations:write'))]))
with check (limena.holds(tenant_id, changed_by, '{integrations:write}'));

-- What an operator's declared access covers.
drop policy if exists integrations_select_readonly on limena.integrations;
create policy integrations_select_readonly on limena.integrations
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For prepare_integration, read_integrations, use_integration and record_integration_failure.
drop policy if exists integrations_select_owner on limena.integrations;
create policy integrations_select_owner on limena.integrations
for select to limena_owner
using (true);

-- For use_integration, which leases a refresh, and settle_refresh.
drop policy if exists integrations_update_owner on limena.integrations;
create policy integrations_update_owner on limena.integrations
for update to limena_owner
using (true);

-- For erase_tenant.
drop policy if exists integrations_delete_owner on limena.integrations;
create policy integrations_delete_owner on limena.integrations
for delete to limena_owner
using (true);

-- The lease is no fact about the integration: who asked for a refresh is recorded as integration.refreshing.
select limena_private.audit_table(
    p_table => 'limena.integrations',
    p_entity_type => 'integration',
    p_key_columns => '{tenant_id, id}',
    p_entity_column => 'id',
    p_column_actions => '[
        ["disconnected_at", "integration.disconnected"],
        ["failed_at", "integration.failed"],
        ["connected_at", "integration.connected"]
    ]',
    p_ignored_columns => '{refresh_leased_until}'
);
