-- API keys. A key is shown once and stored as its SHA-256; a key is replaced, never altered.

create table limena.api_keys (
    tenant_id uuid not null
    constraint api_keys_tenant_id_fkey references limena.tenants (id),
    id uuid not null default gen_random_uuid(),
    name text not null
    constraint api_keys_name_check check (
        char_length(name) between 1 and 100 and name = btrim(name) and name !~ '[[:cntrl:]]'
    ),
    prefix text not null
    constraint api_keys_prefix_check check (prefix ~ '^lmn_[0-9A-Za-z]{6}$'),
    last_four text not null
    constraint api_keys_last_four_check check (last_four ~ '^[0-9A-Za-z]{4}$'),
    scopes text[] not null
    constraint api_keys_scopes_check check (
        cardinality(scopes) between 1 and 100 and array_position(scopes, null) is null
    ),
    key_hash bytea not null
    constraint api_keys_key_hash_key unique
    constraint api_keys_key_hash_check check (octet_length(key_hash) = 32),
    created_by uuid not null
    constraint api_keys_created_by_fkey references limena.users (id),
    created_at timestamptz not null default now(),
    expires_at timestamptz
    constraint api_keys_expires_at_check check (isfinite(expires_at) and expires_at > created_at),
    revoked_at timestamptz
    constraint api_keys_revoked_at_check check (isfinite(revoked_at) and revoked_at >= created_at),
    constraint api_keys_pkey primary key (tenant_id, id)
);
alter table limena.api_keys alter column name set statistics 0;
alter table limena.api_keys alter column prefix set statistics 0;
alter table limena.api_keys alter column last_four set statistics 0;
alter table limena.api_keys alter column key_hash set statistics 0;
create index api_keys_tenant_id_created_at_idx on limena.api_keys (tenant_id, created_at, id);
comment on table limena.api_keys is 'Keys of programs. A key acts with its scopes, cut down to what its creator''s role allows at that moment.';
comment on column limena.api_keys.created_by is 'Whose permissions bound the key''s. A person who is no longer a member has none, and so has the key.';
comment on column limena.api_keys.expires_at is 'NULL: the key does not expire.';

-- When a key was last used stands apart, so that an open transaction of a key never holds a lock that delays revoking
-- it.
create table limena.api_key_uses (
    tenant_id uuid not null,
    api_key_id uuid not null,
    last_used_at timestamptz,
    constraint api_key_uses_pkey primary key (tenant_id, api_key_id),
    constraint api_key_uses_api_key_id_fkey foreign key (tenant_id, api_key_id)
    references limena.api_keys (tenant_id, id) on delete cascade
) with (fillfactor = 80);
comment on table limena.api_key_uses is 'When each API key was last used; written at most once a minute. Not audited.';
