-- Operators, whose every access is declared; and what the audit log needs to be searched, sealed and believed.

create table limena.operator_access (
    tenant_id uuid not null
    constraint operator_access_tenant_id_fkey references limena.tenants (id),
    id uuid not null default gen_random_uuid(),
    covers_all boolean not null
    constraint operator_access_covers_all_check check (
        not covers_all or tenant_id = '00000000-0000-4000-8000-000000000000'
    ),
    login text not null,
    user_id uuid
    constraint operator_access_user_id_fkey references limena.users (id) on delete set null,
    reason text not null
    constraint operator_access_reason_check check (
        char_length(reason) between 3 and 500 and reason = btrim(reason) and reason !~ '[[:cntrl:]]'
    ),
    ticket_hash bytea not null
    constraint operator_access_ticket_hash_key unique
    constraint operator_access_ticket_hash_check check (octet_length(ticket_hash) = 32),
    opened_by_xid xid8 not null default pg_current_xact_id(),
    opened_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    closed_at timestamptz,
    constraint operator_access_pkey primary key (tenant_id, id),
    constraint operator_access_expires_at_check check (
        expires_at > opened_at and expires_at <= opened_at + interval '12 hours'
    )
);
alter table limena.operator_access alter column login set statistics 0;
alter table limena.operator_access alter column reason set statistics 0;
alter table limena.operator_access alter column ticket_hash set statistics 0;
create index operator_access_tenant_id_opened_at_idx on limena.operator_access (tenant_id, opened_at, id);
comment on table limena.operator_access is
'Every access across tenants that an operator has declared. What it opens is decided by limena_private.current_access() alone.';
comment on column limena.operator_access.tenant_id is 'The tenant that is covered; with covers_all, the reserved tenant platform.';
comment on column limena.operator_access.login is 'The database login that declared it and alone may use it.';
comment on column limena.operator_access.user_id is 'The platform admin in whose name the API declared it; NULL where the login is a person''s own.';
comment on column limena.operator_access.ticket_hash is 'SHA-256 of the ticket, which is nowhere but in the session that holds it.';
comment on column limena.operator_access.opened_by_xid is 'The transaction that declared it sees nothing: it could still roll the declaration back.';
