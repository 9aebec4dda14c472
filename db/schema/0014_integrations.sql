-- Integrations with third parties, and the ciphertexts of their credentials. Plain text and master keys never come to
-- PostgreSQL: the API seals before it writes and opens after it has read (api/limena/vault.py).

-- The salts stand in a table of their own, so that backups can keep them apart and for a shorter time. Without its
-- salt nothing of a tenant opens, whoever has the master key.
create table limena_private.tenant_salts (
    tenant_id uuid not null
    constraint tenant_salts_pkey primary key
    constraint tenant_salts_tenant_id_fkey references limena.tenants (id),
    salt bytea not null
    constraint tenant_salts_salt_check check (octet_length(salt) = 32),
    created_at timestamptz not null default now()
);
alter table limena_private.tenant_salts alter column salt set statistics 0;
comment on table limena_private.tenant_salts is
'One random salt a tenant, of which the key of its credentials is derived. Destroyed first when the tenant is deleted. A backup that holds this table and the ciphertexts is no protection against whoever has the master key.';

create table limena.integrations (
    tenant_id uuid not null
    constraint integrations_tenant_id_fkey references limena.tenants (id),
    id uuid not null,
    provider text not null
    constraint integrations_provider_check check (provider ~ '^[a-z][a-z0-9-]{0,62}$'),
    label text
    constraint integrations_label_check check (
        char_length(label) between 1 and 100 and label = btrim(label) and label !~ '[[:cntrl:]]'
    ),
    base_url text
    constraint integrations_base_url_check check (
        char_length(base_url) <= 2048 and base_url ~ '^https?://[!-~]+$' and base_url !~ '[@?#\\]'
    ),
    scopes text
    constraint integrations_scopes_check check (char_length(scopes) <= 4096 and scopes !~ '[[:cntrl:]]'),
    created_at timestamptz not null default now(),
    changed_by uuid not null
    constraint integrations_changed_by_fkey references limena.users (id),
    connected_at timestamptz,
    disconnected_at timestamptz,
    failed_at timestamptz,
    revocation text
    constraint integrations_revocation_check check (
        revocation in ('done', 'refused', 'unreachable', 'unreadable', 'not_offered')
    ),
    refresh_leased_until timestamptz,
    constraint integrations_pkey primary key (tenant_id, id),
    constraint integrations_provider_key unique (tenant_id, provider)
);
alter table limena.integrations alter column label set statistics 0;
alter table limena.integrations alter column base_url set statistics 0;
alter table limena.integrations alter column scopes set statistics 0;
comment on table limena.integrations is 'What a tenant has connected, one a provider. A disconnected one stays, without credentials, for its next connection.';
comment on column limena.integrations.base_url is 'Of a provider whose address the tenant chooses.';
comment on column limena.integrations.changed_by is 'Who connected or disconnected it last.';
comment on column limena.integrations.failed_at is 'Since when the provider refuses the refresh token: it was revoked there, or has expired.';
comment on column limena.integrations.revocation is 'What became of the tokens at the provider when it was disconnected; NULL: nobody knows, because the provider has not answered yet or the API died before it recorded the answer.';
comment on column limena.integrations.refresh_leased_until is 'Until when one caller alone may show the refresh token to the provider. Its value is that caller''s proof, and a new connection takes it away.';

create table limena.integration_credentials (
    tenant_id uuid not null,
    integration_id uuid not null,
    field text not null
    constraint integration_credentials_field_check check (field in ('secret', 'access_token', 'refresh_token')),
    key_version integer not null
    constraint integration_credentials_key_version_check check (key_version > 0),
    -- A nonce of 12 bytes, 1 to 16384 bytes of ciphertext, a tag of 16.
    ciphertext bytea not null
    constraint integration_credentials_ciphertext_check check (octet_length(ciphertext) between 29 and 16412),
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    constraint integration_credentials_pkey primary key (tenant_id, integration_id, field),
    constraint integration_credentials_integration_id_fkey foreign key (tenant_id, integration_id)
    references limena.integrations (tenant_id, id) on delete cascade
);
alter table limena.integration_credentials alter column ciphertext set statistics 0;
create index integration_credentials_key_version_idx
on limena.integration_credentials (key_version, tenant_id, integration_id, field);
comment on table limena.integration_credentials is 'Credentials of third parties, encrypted with AES-256-GCM under a key that the database does not have.';
comment on column limena.integration_credentials.field is 'secret: an API key. access_token, refresh_token: of OAuth 2.';
comment on column limena.integration_credentials.key_version is 'Of the master key. Bound into the ciphertext, as tenant, integration and field are.';
comment on column limena.integration_credentials.expires_at is 'Of an access token, as its provider said; NULL: it did not say.';

create table limena.integration_flows (
    tenant_id uuid not null
    constraint integration_flows_tenant_id_fkey references limena.tenants (id),
    id uuid not null,
    provider text not null
    constraint integration_flows_provider_check check (provider ~ '^[a-z][a-z0-9-]{0,62}$'),
    session_id uuid not null
    constraint integration_flows_session_id_fkey references limena.sessions (id) on delete cascade,
    user_id uuid not null
    constraint integration_flows_user_id_fkey references limena.users (id),
    state_hash bytea not null
    constraint integration_flows_state_hash_check check (octet_length(state_hash) = 32),
    key_version integer not null
    constraint integration_flows_key_version_check check (key_version > 0),
    ciphertext bytea not null
    constraint integration_flows_ciphertext_check check (octet_length(ciphertext) between 29 and 16412),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '10 minutes',
    constraint integration_flows_pkey primary key (tenant_id, id),
    constraint integration_flows_state_hash_key unique (tenant_id, state_hash)
);
alter table limena.integration_flows alter column state_hash set statistics 0;
alter table limena.integration_flows alter column ciphertext set statistics 0;
create index integration_flows_session_id_idx on limena.integration_flows (session_id);
create index integration_flows_expires_at_idx on limena.integration_flows (expires_at);
create index integration_flows_key_version_idx on limena.integration_flows (key_version, tenant_id, id);
comment on table limena.integration_flows is 'Connections under way: someone was sent to a provider to consent. Each one is used once, by the session that began it, within ten minutes.';
comment on column limena.integration_flows.state_hash is 'SHA-256 of the OAuth 2 state, which the browser carries to the provider and back.';
comment on column limena.integration_flows.ciphertext is 'The PKCE code verifier, sealed like a credential.';
