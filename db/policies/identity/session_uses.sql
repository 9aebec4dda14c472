-- limena.session_uses: who may do what. Not audited: a counter of a kind, written at most once a minute a session.

alter table limena.session_uses enable row level security;
alter table limena.session_uses force row level security;

-- Not granted, on purpose: INSERT, UPDATE and DELETE (log_in and enter_session write); anything to limena_auth.
revoke all on limena.session_uses from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (session_id, user_id, last_seen_at) on limena.session_uses to limena_app, limena_readonly;

-- Of one's own sessions.
drop policy if exists session_uses_select_app on limena.session_uses;
create policy session_uses_select_app on limena.session_uses
for select to limena_app
using (user_id = any(array[(select limena.current_session_user_id())]));

-- Belongs to no tenant: for an operator's access to all. The first condition decides, the others keep indexes closed.
drop policy if exists session_uses_select_readonly on limena.session_uses;
create policy session_uses_select_readonly on limena.session_uses
for select to limena_readonly
using (
    (select limena.covers_all())
    and session_id >= case when (select limena.covers_all()) then '00000000-0000-0000-0000-000000000000'::uuid end
);

-- For enter_session and log_in. No LOGIN role inherits from limena_owner.
drop policy if exists session_uses_select_owner on limena.session_uses;
create policy session_uses_select_owner on limena.session_uses
for select to limena_owner
using (true);

drop policy if exists session_uses_insert_owner on limena.session_uses;
create policy session_uses_insert_owner on limena.session_uses
for insert to limena_owner
with check (true);

drop policy if exists session_uses_update_owner on limena.session_uses;
create policy session_uses_update_owner on limena.session_uses
for update to limena_owner
using (true);
