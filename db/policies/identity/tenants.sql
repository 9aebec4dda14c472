-- limena.tenants: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.tenants enable row level security;
alter table limena.tenants force row level security;

-- Not granted, on purpose: INSERT (a tenant comes with its owner, through register_user); DELETE, and UPDATE, which is
-- also the right to lock the row that every change of members waits for (update_tenant, set_audit_retention,
-- delete_tenant, restore_tenant and the platform's procedures change it); anything to limena_auth.
revoke all on limena.tenants from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (id, name, state, created_at, deletion_due_at, audit_retention_days)
on limena.tenants to limena_app, limena_readonly;

-- Whoever is inside may know where: no permission is asked for.
drop policy if exists tenants_select_app on limena.tenants;
create policy tenants_select_app on limena.tenants
for select to limena_app
using (id = any(array[(select limena.current_tenant_id())]));

-- What an operator's declared access covers.
drop policy if exists tenants_select_readonly on limena.tenants;
create policy tenants_select_readonly on limena.tenants
for select to limena_readonly
using (
    (id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For enter_…, log_in, accept_invitation and the tenant's life cycle, before there is a context. No LOGIN role inherits
-- from limena_owner.
drop policy if exists tenants_select_owner on limena.tenants;
create policy tenants_select_owner on limena.tenants
for select to limena_owner
using (true);

-- For register_user.
drop policy if exists tenants_insert_owner on limena.tenants;
create policy tenants_insert_owner on limena.tenants
for insert to limena_owner
with check (true);

-- For update_tenant, freeze_tenant, unfreeze_tenant, delete_tenant, restore_tenant, erase_tenant and end_api_keys.
drop policy if exists tenants_update_owner on limena.tenants;
create policy tenants_update_owner on limena.tenants
for update to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.tenants',
    p_entity_type => 'tenant',
    p_key_columns => '{id}',
    p_entity_column => 'id',
    p_scope_column => 'id',
    p_column_actions => '[["state", "tenant.state_changed"]]',
    p_ignored_columns => '{api_keys_revoked_at}'
);
