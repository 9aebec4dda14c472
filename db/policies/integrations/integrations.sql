-- limena.integrations: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.integrations enable row level security;
alter table limena.integrations force row level security;

-- Not granted, on purpose: every right to write (connect_integration, disconnect_integration and record_revocation are
-- limena_app's ways to do so: a lease, a failure, an outcome are nobody's to alter, no row is anybody's to lock);
-- anything to limena_auth.
revoke all on limena.integrations from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (
    tenant_id, id, provider, label, base_url, scopes, created_at, changed_by, connected_at, disconnected_at, failed_at,
    revocation, refresh_leased_until
)
on limena.integrations to limena_app, limena_readonly;

-- Whoever may connect sees what is connected.
drop policy if exists integrations_select_app on limena.integrations;
create policy integrations_select_app on limena.integrations
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('integrations:read', 'integrations:write'))]));

-- What an operator's declared access covers.
drop policy if exists integrations_select_readonly on limena.integrations;
create policy integrations_select_readonly on limena.integrations
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For the procedures. No LOGIN role inherits from limena_owner.
drop policy if exists integrations_select_owner on limena.integrations;
create policy integrations_select_owner on limena.integrations
for select to limena_owner
using (true);

-- For connect_integration.
drop policy if exists integrations_insert_owner on limena.integrations;
create policy integrations_insert_owner on limena.integrations
for insert to limena_owner
with check (true);

-- For connect_integration, disconnect_integration, record_revocation, use_integration, which leases a refresh, and
-- settle_refresh.
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
        ["connected_at", "integration.connected"],
        ["revocation", "integration.revocation_recorded"]
    ]',
    p_ignored_columns => '{refresh_leased_until}'
);
