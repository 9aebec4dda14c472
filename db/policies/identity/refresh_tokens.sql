-- limena.refresh_tokens: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.refresh_tokens enable row level security;
alter table limena.refresh_tokens force row level security;

-- Not granted, on purpose: anything to limena_app and limena_auth; SELECT on token_hash, to anyone.
revoke all on limena.refresh_tokens from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (id, session_id, user_id, issued_at, expires_at, spent_at) on limena.refresh_tokens to limena_readonly;

-- Belongs to no tenant: for an operator's access to all. The first condition decides, the others keep indexes closed.
drop policy if exists refresh_tokens_select_readonly on limena.refresh_tokens;
create policy refresh_tokens_select_readonly on limena.refresh_tokens
for select to limena_readonly
using (
    (select limena.covers_all())
    and id >= case when (select limena.covers_all()) then '00000000-0000-0000-0000-000000000000'::uuid end
    and session_id >= case when (select limena.covers_all()) then '00000000-0000-0000-0000-000000000000'::uuid end
);

-- For log_in. No LOGIN role inherits from limena_owner.
drop policy if exists refresh_tokens_insert_owner on limena.refresh_tokens;
create policy refresh_tokens_insert_owner on limena.refresh_tokens
for insert to limena_owner
with check (true);

-- For refresh_session.
drop policy if exists refresh_tokens_select_owner on limena.refresh_tokens;
create policy refresh_tokens_select_owner on limena.refresh_tokens
for select to limena_owner
using (true);

drop policy if exists refresh_tokens_update_owner on limena.refresh_tokens;
create policy refresh_tokens_update_owner on limena.refresh_tokens
for update to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.refresh_tokens',
    p_entity_type => 'refresh_token',
    p_key_columns => '{id}',
    p_entity_column => 'id',
    p_scope => 'user',
    p_scope_column => 'user_id',
    p_redacted_columns => '{token_hash}',
    p_column_actions => '[["spent_at", "refresh_token.spent"]]'
);
