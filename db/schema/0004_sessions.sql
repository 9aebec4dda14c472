-- Log-ins. A session is found by the SHA-256 of a secret that only its access tokens carry.

create table limena.sessions (
    id uuid constraint sessions_pkey primary key default gen_random_uuid(),
    user_id uuid not null
    constraint sessions_user_id_fkey references limena.users (id) on delete cascade,
    secret_hash bytea not null
    constraint sessions_secret_hash_key unique
    constraint sessions_secret_hash_check check (octet_length(secret_hash) = 32),
    current_tenant_id uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '30 days',
    ended_at timestamptz,
    ip inet,
    user_agent text
    constraint sessions_user_agent_check check (char_length(user_agent) <= 512),
    constraint sessions_id_user_id_key unique (id, user_id),
    constraint sessions_current_tenant_id_fkey foreign key (current_tenant_id, user_id)
    references limena.memberships (tenant_id, user_id) on delete set null (current_tenant_id)
);
alter table limena.sessions alter column secret_hash set statistics 0;
alter table limena.sessions alter column ip set statistics 0;
alter table limena.sessions alter column user_agent set statistics 0;
create index sessions_user_id_idx on limena.sessions (user_id, created_at);
create index sessions_user_id_current_tenant_id_idx on limena.sessions (user_id, current_tenant_id, created_at);
comment on table limena.sessions is 'One row a log-in, ended 30 days after it at the latest. Global.';
comment on column limena.sessions.current_tenant_id is 'Where the next access token leads; NULL once the membership is gone.';

-- When a session was last seen stands apart, so that an open transaction of a session never holds a lock that delays
-- ending it.
create table limena.session_uses (
    session_id uuid constraint session_uses_pkey primary key,
    user_id uuid not null,
    last_seen_at timestamptz not null default now(),
    constraint session_uses_session_id_fkey foreign key (session_id, user_id)
    references limena.sessions (id, user_id) on delete cascade
) with (fillfactor = 80);
comment on table limena.session_uses is 'When each session was last seen; written at most once a minute. Global, not audited.';

create table limena.refresh_tokens (
    id uuid constraint refresh_tokens_pkey primary key default gen_random_uuid(),
    session_id uuid not null,
    user_id uuid not null,
    token_hash bytea not null
    constraint refresh_tokens_token_hash_key unique
    constraint refresh_tokens_token_hash_check check (octet_length(token_hash) = 32),
    issued_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '7 days',
    spent_at timestamptz,
    constraint refresh_tokens_session_id_fkey foreign key (session_id, user_id)
    references limena.sessions (id, user_id) on delete cascade
);
alter table limena.refresh_tokens alter column token_hash set statistics 0;
create index refresh_tokens_session_id_idx on limena.refresh_tokens (session_id, user_id);
comment on table limena.refresh_tokens is 'The refresh tokens of a session; each is used once. Holds the SHA-256 of the token''s jti. Global.';
