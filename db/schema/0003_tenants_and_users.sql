-- Tenants, people, and who belongs where. Columns with personal data get no statistics: pg_stats and EXPLAIN would tell
-- of other tenants' values what row-level security hides.

create table limena.tenants (
    id uuid constraint tenants_pkey primary key default gen_random_uuid(),
    name text not null
    constraint tenants_name_check check (
        char_length(name) between 1 and 100 and name = btrim(name) and name !~ '[[:cntrl:]]'
    ),
    state text not null default 'active'
    constraint tenants_state_check check (state in ('active', 'deleted')),
    created_at timestamptz not null default now()
);
alter table limena.tenants alter column name set statistics 0;
comment on table limena.tenants is 'Customers. Global: its id is everyone else''s tenant_id.';
comment on column limena.tenants.state is 'active, or deleted: nobody enters a deleted tenant.';

-- The reserved tenant: events that belong to no tenant are in its audit log. Nobody is a member of it, so nobody enters
-- it.
insert into limena.tenants (id, name) values ('00000000-0000-4000-8000-000000000000', 'platform');

create table limena.users (
    id uuid constraint users_pkey primary key default gen_random_uuid(),
    email text not null
    constraint users_email_key unique
    constraint users_email_check check (
        email = lower(email)
        and char_length(email) between 3 and 254
        and email ~ '^[a-z0-9.!#$%&''*+/=?^_`{|}~-]+@[a-z0-9.-]+$'
    ),
    display_name text not null
    constraint users_display_name_check check (
        char_length(display_name) between 1 and 100
        and display_name = btrim(display_name)
        and display_name !~ '[[:cntrl:]]'
    ),
    password_hash text not null
    constraint users_password_hash_check check (password_hash ~ '^\$2b\$[0-9]{2}\$[./A-Za-z0-9]{53}$'),
    is_platform_admin boolean not null default false,
    created_at timestamptz not null default now()
);
alter table limena.users alter column email set statistics 0;
alter table limena.users alter column display_name set statistics 0;
alter table limena.users alter column password_hash set statistics 0;
comment on table limena.users is 'People, each once, in however many tenants. Global.';
comment on column limena.users.email is 'Lower case; unique.';
comment on column limena.users.password_hash is 'bcrypt over base64(HMAC-SHA-256(label, password)). Leaves the database through begin_log_in and find_password alone.';
comment on column limena.users.is_platform_admin is 'Opens /admin/*; gives no right inside a tenant.';

create table limena.memberships (
    tenant_id uuid not null
    constraint memberships_tenant_id_fkey references limena.tenants (id)
    constraint memberships_tenant_id_check check (tenant_id <> '00000000-0000-4000-8000-000000000000'),
    user_id uuid not null
    constraint memberships_user_id_fkey references limena.users (id) on delete cascade,
    role limena.member_role not null,
    created_at timestamptz not null default now(),
    constraint memberships_pkey primary key (tenant_id, user_id)
);
create index memberships_tenant_id_created_at_idx on limena.memberships (tenant_id, created_at, user_id);
create index memberships_user_id_idx on limena.memberships (user_id, tenant_id);
comment on table limena.memberships is 'Who belongs to which tenant, and as what. Read anew by every request.';
comment on constraint memberships_tenant_id_check on limena.memberships is 'Nobody is a member of the reserved tenant platform.';

create table limena.invitations (
    tenant_id uuid not null
    constraint invitations_tenant_id_fkey references limena.tenants (id),
    id uuid not null default gen_random_uuid(),
    email text not null
    constraint invitations_email_check check (
        email = lower(email)
        and char_length(email) between 3 and 254
        and email ~ '^[a-z0-9.!#$%&''*+/=?^_`{|}~-]+@[a-z0-9.-]+$'
    ),
    role limena.member_role not null,
    token_hash bytea not null
    constraint invitations_token_hash_key unique
    constraint invitations_token_hash_check check (octet_length(token_hash) = 32),
    invited_by uuid not null
    constraint invitations_invited_by_fkey references limena.users (id),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '7 days',
    accepted_at timestamptz,
    constraint invitations_pkey primary key (tenant_id, id)
);
alter table limena.invitations alter column email set statistics 0;
alter table limena.invitations alter column token_hash set statistics 0;
create index invitations_tenant_id_email_idx on limena.invitations (tenant_id, email);
comment on table limena.invitations is 'Who was asked to join a tenant. The token is known to its addressee alone; here is its SHA-256.';
