-- limena.operator_access: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.operator_access enable row level security;
alter table limena.operator_access force row level security;

-- Not granted, on purpose: any writing (open_access, open_access_as and close_access are the ways); SELECT on
-- ticket_hash, opened_by_xid and session_id; anything to limena_app and limena_auth (tenants find it in their log).
revoke all on limena.operator_access from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (tenant_id, id, covers_all, login, user_id, reason, opened_at, expires_at, closed_at)
on limena.operator_access to limena_readonly;

drop policy if exists operator_access_select_readonly on limena.operator_access;
create policy operator_access_select_readonly on limena.operator_access
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For current_access. No LOGIN role inherits from limena_owner.
drop policy if exists operator_access_select_owner on limena.operator_access;
create policy operator_access_select_owner on limena.operator_access
for select to limena_owner
using (true);

-- For open_access and open_access_as.
drop policy if exists operator_access_insert_owner on limena.operator_access;
create policy operator_access_insert_owner on limena.operator_access
for insert to limena_owner
with check (true);

-- For close_access.
drop policy if exists operator_access_update_owner on limena.operator_access;
create policy operator_access_update_owner on limena.operator_access
for update to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.operator_access',
    p_entity_type => 'operator_access',
    p_key_columns => '{tenant_id, id}',
    p_entity_column => 'id',
    p_redacted_columns => '{ticket_hash}',
    p_column_actions => '[["closed_at", "operator.access_closed"]]',
    p_ignored_columns => '{session_id}'
);
