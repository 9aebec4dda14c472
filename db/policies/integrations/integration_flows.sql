-- limena.integration_flows: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.integration_flows enable row level security;
alter table limena.integration_flows force row level security;

-- Not granted, on purpose: SELECT on state_hash and ciphertext, and DELETE (take_integration_flow uses a flow up, prune
-- what nobody took); UPDATE; anything to limena_auth and limena_maintenance.
revoke all on limena.integration_flows from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (tenant_id, id, provider, session_id, user_id, label, key_version, created_at, expires_at)
on limena.integration_flows to limena_readonly;
grant insert (tenant_id, id, provider, session_id, user_id, state_hash, label, key_version, ciphertext)
on limena.integration_flows to limena_app;

-- Of one's own session, and for oneself: three facts, out of one context each.
drop policy if exists integration_flows_insert_app on limena.integration_flows;
create policy integration_flows_insert_app on limena.integration_flows
for insert to limena_app
with check (limena.holds(tenant_id, user_id, '{integrations:write}') and session_id = limena.current_session_id());

-- For take_integration_flow, stale_credentials and prune.
drop policy if exists integration_flows_select_owner on limena.integration_flows;
create policy integration_flows_select_owner on limena.integration_flows
for select to limena_owner
using (true);

drop policy if exists integration_flows_delete_owner on limena.integration_flows;
create policy integration_flows_delete_owner on limena.integration_flows
for delete to limena_owner
using (true);

-- For reseal_credentials.
drop policy if exists integration_flows_update_owner on limena.integration_flows;
create policy integration_flows_update_owner on limena.integration_flows
for update to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.integration_flows',
    p_entity_type => 'integration_flow',
    p_key_columns => '{tenant_id, id}',
    p_entity_column => 'id',
    p_redacted_columns => '{state_hash, ciphertext}'
);
