-- limena.ai_settings: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.ai_settings enable row level security;
alter table limena.ai_settings force row level security;

-- Not granted, on purpose: INSERT, UPDATE and DELETE, to anyone: the columns belong to three (update_ai_settings says
-- to whom), and a change has to be made under the quota's lock; anything to limena_auth.
revoke all on limena.ai_settings from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (
    tenant_id, is_enabled, is_allowed, max_calls_per_hour, max_tokens_per_month, calls_per_hour, tokens_per_month
)
on limena.ai_settings to limena_app, limena_readonly;

drop policy if exists ai_settings_select_app on limena.ai_settings;
create policy ai_settings_select_app on limena.ai_settings
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('ai:read'))]));

-- What an operator's declared access covers.
drop policy if exists ai_settings_select_readonly on limena.ai_settings;
create policy ai_settings_select_readonly on limena.ai_settings
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For the procedures of the ai domain. No LOGIN role inherits from limena_owner.
drop policy if exists ai_settings_select_owner on limena.ai_settings;
create policy ai_settings_select_owner on limena.ai_settings
for select to limena_owner
using (true);

drop policy if exists ai_settings_insert_owner on limena.ai_settings;
create policy ai_settings_insert_owner on limena.ai_settings
for insert to limena_owner
with check (true);

drop policy if exists ai_settings_update_owner on limena.ai_settings;
create policy ai_settings_update_owner on limena.ai_settings
for update to limena_owner
using (true);

-- For erase_tenant.
drop policy if exists ai_settings_delete_owner on limena.ai_settings;
create policy ai_settings_delete_owner on limena.ai_settings
for delete to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.ai_settings',
    p_entity_type => 'ai_settings',
    p_key_columns => '{tenant_id}',
    p_entity_column => 'tenant_id'
);
