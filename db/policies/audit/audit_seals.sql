-- limena.audit_seals: who may do what. Not audited: it is what the log is held to.

alter table limena.audit_seals enable row level security;
alter table limena.audit_seals force row level security;

-- Not granted, on purpose: any writing (seal_audit_log and apply_retention are the ways); SELECT on the digests
-- (verify_audit_log and its like answer for them) and on the places of the sequence, which count all tenants' rows;
-- anything to limena_auth and limena_maintenance.
revoke all on limena.audit_seals from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (tenant_id, number, row_count, first_at, last_at, sealed_at, removed_at)
on limena.audit_seals to limena_app, limena_readonly;

drop policy if exists audit_seals_select_app on limena.audit_seals;
create policy audit_seals_select_app on limena.audit_seals
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('audit:read'))]));

-- What an operator's declared access covers.
drop policy if exists audit_seals_select_readonly on limena.audit_seals;
create policy audit_seals_select_readonly on limena.audit_seals
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For seal_audit_log, verify_audit_log and apply_retention. No LOGIN role inherits from limena_owner.
drop policy if exists audit_seals_select_owner on limena.audit_seals;
create policy audit_seals_select_owner on limena.audit_seals
for select to limena_owner
using (true);

-- For seal_audit_log. There is no policy for DELETE: not even limena_owner has one.
drop policy if exists audit_seals_insert_owner on limena.audit_seals;
create policy audit_seals_insert_owner on limena.audit_seals
for insert to limena_owner
with check (true);

-- For apply_retention.
drop policy if exists audit_seals_update_owner on limena.audit_seals;
create policy audit_seals_update_owner on limena.audit_seals
for update to limena_owner
using (true);
