-- limena.audit_logs: who may do what. No other file makes a rule for this table; its partitions have forced row-level
-- security, no policy and no grant (ensure_partitions()). It has no audit trigger: it is the log.

alter table limena.audit_logs enable row level security;
alter table limena.audit_logs force row level security;

-- Not granted, on purpose: INSERT, UPDATE, DELETE and TRUNCATE, to anyone; SELECT on the salts of the commitments;
-- anything to limena_auth.
revoke all on limena.audit_logs from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (
    tenant_id, occurred_at, seq, id, action, actor_type, actor_id, actor_label, entity_type, entity_id, changes,
    details, request_id, ip, user_agent, on_behalf_of_id, on_behalf_of_label
)
on limena.audit_logs to limena_app, limena_readonly;
revoke all on sequence limena.audit_logs_seq_seq
from public, limena_app, limena_auth, limena_readonly, limena_maintenance;

drop policy if exists audit_logs_select_app on limena.audit_logs;
create policy audit_logs_select_app on limena.audit_logs
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('audit:read'))]));

-- What an operator's declared access covers.
drop policy if exists audit_logs_select_readonly on limena.audit_logs;
create policy audit_logs_select_readonly on limena.audit_logs
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For record_changes and record_event. There is no policy for UPDATE: not even limena_owner has one.
drop policy if exists audit_logs_insert_owner on limena.audit_logs;
create policy audit_logs_insert_owner on limena.audit_logs
for insert to limena_owner
with check (true);

-- For seal_audit_log, verify_audit_log and apply_retention. No LOGIN role inherits from limena_owner.
drop policy if exists audit_logs_select_owner on limena.audit_logs;
create policy audit_logs_select_owner on limena.audit_logs
for select to limena_owner
using (true);

-- For apply_retention. The shortest retention that there is stands here as well: not even limena_owner deletes more.
drop policy if exists audit_logs_delete_owner on limena.audit_logs;
create policy audit_logs_delete_owner on limena.audit_logs
for delete to limena_owner
using (occurred_at < now() - interval '30 days');
