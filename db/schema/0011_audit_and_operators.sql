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

-- The log: on whose behalf a key acted, and the salts of the two commitments that a row's digest is made of (see
-- limena_private.audit_digests). A digest holds nothing of a person, so that what a person left can be erased later and
-- the chain still closes; the salts are what keeps a short name from being guessed out of its digest.
alter table limena.audit_logs
add column on_behalf_of_id uuid,
add column on_behalf_of_label text,
add column who_salt uuid not null default gen_random_uuid(),
add column changes_salt uuid not null default gen_random_uuid();
alter table limena.audit_logs alter column on_behalf_of_id set statistics 0;
alter table limena.audit_logs alter column on_behalf_of_label set statistics 0;
alter table limena.audit_logs alter column who_salt set statistics 0;
alter table limena.audit_logs alter column changes_salt set statistics 0;
comment on column limena.audit_logs.on_behalf_of_id is 'For an API key: its creator, whose permissions bound it.';
comment on column limena.audit_logs.on_behalf_of_label is 'The creator''s address, as it was then.';

-- For the filters of list_audit_logs(), each in the list's order.
create index audit_logs_action_idx on limena.audit_logs (tenant_id, action, occurred_at, seq);
create index audit_logs_actor_id_idx on limena.audit_logs (tenant_id, actor_id, occurred_at, seq);
create index audit_logs_entity_type_idx on limena.audit_logs (tenant_id, entity_type, occurred_at, seq);
create index audit_logs_entity_id_idx on limena.audit_logs (tenant_id, entity_id, occurred_at, seq);
-- For the sealer, which goes by seq over all tenants. Rows come in nearly that order, so a summary of pages is enough.
-- An expression that is not leakproof, so that no caller's condition on seq is searched for before the policy's.
create index audit_logs_seq_idx on limena.audit_logs using brin ((seq + 0)) with (
    pages_per_range = 16, autosummarize = on
);

-- How far a later run may seal: every transaction that drew a seq up to this one had an id below xid. Once all of those
-- are over, no row with such a seq can still appear.
create table limena_private.audit_fences (
    seq bigint constraint audit_fences_pkey primary key,
    xid xid8 not null,
    made_at timestamptz not null default clock_timestamp()
);
comment on table limena_private.audit_fences is 'Open fences of limena.seal_audit_log().';

-- One row a sealed segment. No foreign key to tenants, as the log has none: seals outlive what they seal.
create table limena.audit_seals (
    tenant_id uuid not null,
    number integer not null -- noqa: RF04
    constraint audit_seals_number_check check (number > 0),
    from_seq bigint not null,
    to_seq bigint not null,
    row_count integer not null
    constraint audit_seals_row_count_check check (row_count > 0),
    first_at timestamptz not null,
    last_at timestamptz not null,
    seqs bigint[],
    row_digests bytea,
    rows_digest bytea not null
    constraint audit_seals_rows_digest_check check (octet_length(rows_digest) = 32),
    digest bytea not null
    constraint audit_seals_digest_check check (octet_length(digest) = 32),
    sealed_at timestamptz not null default clock_timestamp(),
    removed_at timestamptz,
    constraint audit_seals_pkey primary key (tenant_id, number),
    constraint audit_seals_seqs_check check (
        to_seq > from_seq
        and (seqs is null) = (removed_at is not null)
        and (row_digests is null) = (removed_at is not null)
    )
);
create index audit_seals_to_seq_idx on limena.audit_seals (to_seq);
alter table limena.audit_seals alter column seqs set storage external;
alter table limena.audit_seals alter column row_digests set storage external;
alter table limena.audit_seals alter column seqs set statistics 0;
alter table limena.audit_seals alter column row_digests set statistics 0;
alter table limena.audit_seals alter column rows_digest set statistics 0;
alter table limena.audit_seals alter column digest set statistics 0;
comment on table limena.audit_seals is
'The chain of each tenant''s log: a seal holds the digests of up to 1,000 rows, and its own digest the one before. Written by seal_audit_log(), and by apply_retention() when the rows have gone.';
comment on column limena.audit_seals.from_seq is 'Rows of this seal have a greater seq; what the run before sealed, had not.';
comment on column limena.audit_seals.to_seq is 'The end of the run; the same in all seals of it.';
comment on column limena.audit_seals.seqs is 'The rows, in the order in which row_digests has 32 bytes of each. NULL once they are removed.';
comment on column limena.audit_seals.rows_digest is 'SHA-256 over seqs and row_digests: stays when those go.';
comment on column limena.audit_seals.digest is 'SHA-256 over the digest of the seal before and all of this one''s fields.';

alter table limena.tenants add column audit_retention_days integer not null default 730
constraint tenants_audit_retention_days_check check (audit_retention_days between 30 and 3650);
comment on column limena.tenants.audit_retention_days is 'How long rows of the audit log are kept at least; 730 days are two years.';
