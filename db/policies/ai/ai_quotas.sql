-- limena.ai_quotas: who may do what. Not audited: counters; what happens to them is recorded as ai_quota.…

alter table limena.ai_quotas enable row level security;
alter table limena.ai_quotas force row level security;

-- Not granted, on purpose: INSERT, UPDATE and DELETE, to anyone (whoever could write a counter would set it back);
-- anything to limena_auth.
revoke all on limena.ai_quotas from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (
    tenant_id, as_of, calls, recent_calls, used_tokens, reserved_tokens, written_off_tokens, expires_at, warned_percent,
    trip_cause, tripped_at, trip_ends_at
)
on limena.ai_quotas to limena_app, limena_readonly;

drop policy if exists ai_quotas_select_app on limena.ai_quotas;
create policy ai_quotas_select_app on limena.ai_quotas
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('ai:read'))]));

-- What an operator's declared access covers.
drop policy if exists ai_quotas_select_readonly on limena.ai_quotas;
create policy ai_quotas_select_readonly on limena.ai_quotas
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For the procedures of the ai domain. No LOGIN role inherits from limena_owner.
drop policy if exists ai_quotas_select_owner on limena.ai_quotas;
create policy ai_quotas_select_owner on limena.ai_quotas
for select to limena_owner
using (true);

drop policy if exists ai_quotas_insert_owner on limena.ai_quotas;
create policy ai_quotas_insert_owner on limena.ai_quotas
for insert to limena_owner
with check (true);

drop policy if exists ai_quotas_update_owner on limena.ai_quotas;
create policy ai_quotas_update_owner on limena.ai_quotas
for update to limena_owner
using (true);

-- For erase_tenant.
drop policy if exists ai_quotas_delete_owner on limena.ai_quotas;
create policy ai_quotas_delete_owner on limena.ai_quotas
for delete to limena_owner
using (true);
