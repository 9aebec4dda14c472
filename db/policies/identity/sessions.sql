-- limena.sessions: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.sessions enable row level security;
alter table limena.sessions force row level security;

-- Not granted, on purpose: anything to limena_app and limena_auth (enter_session and log_in are the ways); SELECT on
-- secret_hash, to anyone (a hash that can be read can be passed to enter_session).
revoke all on limena.sessions from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (id, user_id, current_tenant_id, created_at, expires_at, ended_at, ip, user_agent)
on limena.sessions to limena_readonly;

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
