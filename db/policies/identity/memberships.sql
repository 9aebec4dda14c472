-- limena.memberships: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.memberships enable row level security;
alter table limena.memberships force row level security;

-- Not granted, on purpose: INSERT (one joins through register_user or accept_invitation); UPDATE and DELETE
-- (change_member_role, remove_member and transfer_ownership: that there always is an owner, no policy can say);
-- anything to limena_auth.
revoke all on limena.memberships from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (tenant_id, user_id, role, created_at) on limena.memberships to limena_app, limena_readonly;

drop policy if exists memberships_select_app on limena.memberships;
create policy memberships_select_app on limena.memberships
for select to limena_app
using (
    tenant_id = any(array[(select limena.tenant_with('members:read'))])
    -- Again, for memberships_user_id_idx, where the tenant comes second: before PostgreSQL 17 an array is no condition
    -- of such a search.
    and tenant_id = (select limena.tenant_with('members:read'))
);

-- What an operator's declared access covers.
drop policy if exists memberships_select_readonly on limena.memberships;
create policy memberships_select_readonly on limena.memberships
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For enter_…, log_in and the audit of a person's own events, before there is a context. No LOGIN role inherits from
-- limena_owner.
drop policy if exists memberships_select_owner on limena.memberships;
create policy memberships_select_owner on limena.memberships
for select to limena_owner
using (true);

-- For register_user and accept_invitation.
drop policy if exists memberships_insert_owner on limena.memberships;
create policy memberships_insert_owner on limena.memberships
for insert to limena_owner
with check (true);

-- For change_member_role, remove_member, transfer_ownership and erase_tenant.
drop policy if exists memberships_update_owner on limena.memberships;
create policy memberships_update_owner on limena.memberships
for update to limena_owner
using (true);

drop policy if exists memberships_delete_owner on limena.memberships;
create policy memberships_delete_owner on limena.memberships
for delete to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.memberships',
    p_entity_type => 'membership',
    p_key_columns => '{tenant_id, user_id}',
    p_entity_column => 'user_id',
    p_column_actions => '[["role", "membership.role_changed"]]'
);
