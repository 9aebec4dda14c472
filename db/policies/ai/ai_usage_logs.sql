-- limena.ai_usage_logs: who may do what. Not audited: it is a record of its own. Its partitions have forced row-level
-- security, no policy and no grant (ensure_partitions()).

alter table limena.ai_usage_logs enable row level security;
alter table limena.ai_usage_logs force row level security;

-- Not granted, on purpose: INSERT, UPDATE and DELETE, to anyone; anything to limena_auth.
revoke all on limena.ai_usage_logs from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (
    tenant_id, occurred_at, id, actor_type, actor_id, model, outcome, prompt_tokens, completion_tokens, latency_ms,
    recorded_at, recorded_by
)
on limena.ai_usage_logs to limena_app, limena_readonly;

drop policy if exists ai_usage_logs_select_app on limena.ai_usage_logs;
create policy ai_usage_logs_select_app on limena.ai_usage_logs
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('ai:read'))]));

-- What an operator's declared access covers.
drop policy if exists ai_usage_logs_select_readonly on limena.ai_usage_logs;
create policy ai_usage_logs_select_readonly on limena.ai_usage_logs
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For record_ai_usage and check_ai_quotas. No LOGIN role inherits from limena_owner.
drop policy if exists ai_usage_logs_select_owner on limena.ai_usage_logs;
create policy ai_usage_logs_select_owner on limena.ai_usage_logs
for select to limena_owner
using (true);

drop policy if exists ai_usage_logs_insert_owner on limena.ai_usage_logs;
create policy ai_usage_logs_insert_owner on limena.ai_usage_logs
for insert to limena_owner
with check (true);

-- A late settlement replaces what was noted when the reservation expired or was released.
drop policy if exists ai_usage_logs_update_owner on limena.ai_usage_logs;
create policy ai_usage_logs_update_owner on limena.ai_usage_logs
for update to limena_owner
using (true);

-- For erase_tenant.
drop policy if exists ai_usage_logs_delete_owner on limena.ai_usage_logs;
create policy ai_usage_logs_delete_owner on limena.ai_usage_logs
for delete to limena_owner
using (true);
