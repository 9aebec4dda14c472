-- limena.integration_flows: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.integration_flows enable row level security;
alter table limena.integration_flows force row level security;

-- Not granted, on purpose: anything to limena_app (begin_integration_flow and take_integration_flow are its ways to a
-- flow), to limena_auth, limena_maintenance and limena_readonly.
revoke all on limena.integration_flows from public, limena_app, limena_auth, limena_readonly, limena_maintenance;

-- For begin_integration_flow. No LOGIN role inherits from limena_owner.
drop policy if exists integration_flows_insert_owner on limena.integration_flows;
create policy integration_flows_insert_owner on limena.integration_flows
for insert to limena_owner
with check (true);

-- For begin_integration_flow, take_integration_flow, stale_credentials, prune and erase_tenant.
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
