-- What log-ins need beyond sessions: when a password was changed, tokens that go out by mail, counters of failures, and
-- the mail itself.

-- A log-in with an outdated cost rehashes: password_hash changes, the password does not.
alter table limena.users add column password_changed_at timestamptz not null default now();
comment on column limena.users.password_changed_at is 'When the password was last chosen; a rehash with another cost leaves it.';

create table limena.password_resets (
    id uuid constraint password_resets_pkey primary key default gen_random_uuid(),
    user_id uuid not null
    constraint password_resets_user_id_fkey references limena.users (id) on delete cascade,
    token_hash bytea not null
    constraint password_resets_token_hash_key unique
    constraint password_resets_token_hash_check check (octet_length(token_hash) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '1 hour',
    used_at timestamptz
);
alter table limena.password_resets alter column token_hash set statistics 0;
create index password_resets_user_id_idx on limena.password_resets (user_id) where used_at is null;
comment on table limena.password_resets is 'Links to set a new password, each good once and for one hour. Global.';

create table limena.registrations (
    id uuid constraint registrations_pkey primary key default gen_random_uuid(),
    email text not null
    constraint registrations_email_check check (
        email = lower(email)
        and char_length(email) between 3 and 254
        and email ~ '^[a-z0-9.!#$%&''*+/=?^_`{|}~-]+@[a-z0-9.-]+$'
    ),
    display_name text not null
    constraint registrations_display_name_check check (
        char_length(display_name) between 1 and 100
        and display_name = btrim(display_name)
        and display_name !~ '[[:cntrl:]]'
    ),
    tenant_name text not null
    constraint registrations_tenant_name_check check (
        char_length(tenant_name) between 1 and 100
        and tenant_name = btrim(tenant_name)
        and tenant_name !~ '[[:cntrl:]]'
    ),
    password_hash text not null
    constraint registrations_password_hash_check check (password_hash ~ '^\$2b\$[0-9]{2}\$[./A-Za-z0-9]{53}$'),
    token_hash bytea not null
    constraint registrations_token_hash_key unique
    constraint registrations_token_hash_check check (octet_length(token_hash) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '1 day',
    used_at timestamptz
);
alter table limena.registrations alter column email set statistics 0;
alter table limena.registrations alter column display_name set statistics 0;
alter table limena.registrations alter column tenant_name set statistics 0;
alter table limena.registrations alter column password_hash set statistics 0;
alter table limena.registrations alter column token_hash set statistics 0;
comment on table limena.registrations is 'Who wants an account and has not yet followed the link in the mail. Global.';

-- Failures are counted by the SHA-256 of what they are counted for, so that a table of counters is no list of
-- addresses.
create table limena.log_in_failures (
    subject bytea constraint log_in_failures_pkey primary key
    constraint log_in_failures_subject_check check (octet_length(subject) = 32),
    failures integer not null
    constraint log_in_failures_failures_check check (failures > 0),
    last_failed_at timestamptz not null,
    blocked_until timestamptz not null
) with (fillfactor = 80);
alter table limena.log_in_failures alter column subject set statistics 0;
create index log_in_failures_last_failed_at_idx on limena.log_in_failures (last_failed_at);
comment on table limena.log_in_failures is
'How often a log-in failed lately: for an account from an address, for an address, for an account. Global, not audited.';

create table limena.outbox (
    tenant_id uuid not null
    constraint outbox_tenant_id_fkey references limena.tenants (id),
    id uuid not null,
    template text not null
    constraint outbox_template_check check (template ~ '^[a-z_]{1,63}$'),
    recipient text not null
    constraint outbox_recipient_check check (
        char_length(recipient) between 3 and 254 and recipient ~ '^[a-z0-9.!#$%&''*+/=?^_`{|}~-]+@[a-z0-9.-]+$'
    ),
    parameters jsonb not null default '{}'
    constraint outbox_parameters_check check (jsonb_typeof(parameters) = 'object'),
    created_at timestamptz not null default now(),
    attempts integer not null default 0,
    due_at timestamptz not null default now(),
    delivered_at timestamptz,
    abandoned_at timestamptz,
    constraint outbox_pkey primary key (tenant_id, id)
);
alter table limena.outbox alter column recipient set statistics 0;
alter table limena.outbox alter column parameters set statistics 0;
create index outbox_recipient_created_at_idx on limena.outbox (recipient, created_at);
create index outbox_due_at_idx on limena.outbox (due_at) where delivered_at is null and abandoned_at is null;
comment on table limena.outbox is
'Mail to be sent. Never holds a token: the worker derives it from the row''s id, under a key that the database does not have.';
comment on column limena.outbox.tenant_id is 'The tenant on whose behalf the mail goes out; the reserved tenant platform for a person''s own.';
