-- limena.sessions: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.sessions enable row level security;
alter table limena.sessions force row level security;

-- Not granted, on purpose: any writing (log_in makes them, log_out, log_out_all, end_session and switch_tenant change
-- them; UPDATE is also the right to lock rows, and so to keep a session from being ended); SELECT on secret_hash, to
-- anyone (a hash that can be read can be passed to enter_session); anything to limena_auth.
revoke all on limena.sessions from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (id, user_id, current_tenant_id, created_at, expires_at, ended_at, ip, user_agent)
on limena.sessions to limena_app, limena_readonly;

-- A person's own, and for a session alone: an API key acts for its creator, and has no business with the creator's
-- log-ins.
drop policy if exists sessions_select_app on limena.sessions;
create policy sessions_select_app on limena.sessions
for select to limena_app
using (user_id = any(array[(select limena.current_session_user_id())]));

-- Belongs to no tenant: for an operator's access to all. The first condition decides, the others keep indexes closed.
drop policy if exists sessions_select_readonly on limena.sessions;
create policy sessions_select_readonly on limena.sessions
for select to limena_readonly
using (
    (select limena.covers_all())
    and id >= case when (select limena.covers_all()) then '00000000-0000-0000-0000-000000000000'::uuid end
    and user_id >= case when (select limena.covers_all()) then '00000000-0000-0000-0000-000000000000'::uuid end
    and least(ended_at, expires_at) >= case when (select limena.covers_all()) then '-infinity'::timestamptz end
);

-- For enter_session and log_in, before there is a context. No LOGIN role inherits from limena_owner.
drop policy if exists sessions_select_owner on limena.sessions;
create policy sessions_select_owner on limena.sessions
for select to limena_owner
using (true);

-- For log_in.
drop policy if exists sessions_insert_owner on limena.sessions;
create policy sessions_insert_owner on limena.sessions
for insert to limena_owner
with check (true);

-- For log_out, log_out_all, end_session, switch_tenant, refresh_session, change_password and reset_password.
drop policy if exists sessions_update_owner on limena.sessions;
create policy sessions_update_owner on limena.sessions
for update to limena_owner
using (true);

-- For prune.
drop policy if exists sessions_delete_owner on limena.sessions;
create policy sessions_delete_owner on limena.sessions
for delete to limena_owner
using (true);

-- A person's events stand in the log of each of their tenants. Where the session is, and that it left a tenant, is no
-- event: no tenant may learn of another from it.
select limena_private.audit_table(
    p_table => 'limena.sessions',
    p_entity_type => 'session',
    p_key_columns => '{id}',
    p_entity_column => 'id',
    p_scope => 'user',
    p_scope_column => 'user_id',
    p_redacted_columns => '{secret_hash}',
    p_column_actions => '[["ended_at", "session.ended"]]',
    p_ignored_columns => '{current_tenant_id}'
);
