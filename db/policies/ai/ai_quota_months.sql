-- limena.ai_quota_months: who may do what. Not audited: counters.

alter table limena.ai_quota_months enable row level security;
alter table limena.ai_quota_months force row level security;

-- Not granted, on purpose: INSERT, UPDATE and DELETE, to anyone (whoever could write a counter would set it back);
-- anything to limena_auth.
revoke all on limena.ai_quota_months from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (tenant_id, month, used_tokens, reserved_tokens)
on limena.ai_quota_months to limena_app, limena_readonly;

drop policy if exists ai_quota_months_select_app on limena.ai_quota_months;
create policy ai_quota_months_select_app on limena.ai_quota_months
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('ai:read'))]));

-- What an operator's declared access covers.
drop policy if exists ai_quota_months_select_readonly on limena.ai_quota_months;
create policy ai_quota_months_select_readonly on limena.ai_quota_months
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For the procedures of the ai domain. No LOGIN role inherits from limena_owner.
drop policy if exists ai_quota_months_select_owner on limena.ai_quota_months;
create policy ai_quota_months_select_owner on limena.ai_quota_months
for select to limena_owner
using (true);

drop policy if exists ai_quota_months_insert_owner on limena.ai_quota_months;
create policy ai_quota_months_insert_owner on limena.ai_quota_months
for insert to limena_owner
with check (true);

drop policy if exists ai_quota_months_update_owner on limena.ai_quota_months;
create policy ai_quota_months_update_owner on limena.ai_quota_months
for update to limena_owner
using (true);

-- For erase_tenant.
drop policy if exists ai_quota_months_delete_owner on limena.ai_quota_months;
create policy ai_quota_months_delete_owner on limena.ai_quota_months
for delete to limena_owner
using (true);
