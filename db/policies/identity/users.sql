-- limena.users: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.users enable row level security;
alter table limena.users force row level security;

-- Not granted, on purpose: anything to limena_app, which gets the people of its tenant from find_people() alone (no
-- policy can say who they are so cheaply that PostgreSQL tests it first: a caller's own condition on email would run
-- before it, and EXPLAIN ANALYZE tell of everyone); SELECT on password_hash, to anyone (begin_log_in hands one out, to
-- limena_auth); INSERT, UPDATE and DELETE (register_user and its like); anything to limena_auth.
revoke all on limena.users from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (id, email, display_name, is_platform_admin, created_at) on limena.users to limena_readonly;

-- Belongs to no tenant: for an operator's access to all. The first condition decides, the others keep indexes closed.
drop policy if exists users_select_readonly on limena.users;
create policy users_select_readonly on limena.users
for select to limena_readonly
using (
    (select limena.covers_all())
    and id >= case when (select limena.covers_all()) then '00000000-0000-0000-0000-000000000000'::uuid end
    and email >= case when (select limena.covers_all()) then '' end
);

-- For enter_session, log-in, invitation and promotion, before there is a context, and for find_people. No LOGIN role
-- inherits from limena_owner.
drop policy if exists users_select_owner on limena.users;
create policy users_select_owner on limena.users
for select to limena_owner
using (true);

-- For register_user and accept_invitation.
drop policy if exists users_insert_owner on limena.users;
create policy users_insert_owner on limena.users
for insert to limena_owner
with check (true);

-- For promote_user, change_password, reset_password and rehash_password.
drop policy if exists users_update_owner on limena.users;
create policy users_update_owner on limena.users
for update to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.users',
    p_entity_type => 'user',
    p_key_columns => '{id}',
    p_entity_column => 'id',
    p_scope => 'user',
    p_scope_column => 'id',
    p_redacted_columns => '{password_hash}',
    p_column_actions => '[
        ["password_changed_at", "user.password_changed"],
        ["is_platform_admin", "user.platform_admin_changed"]
    ]'
);
