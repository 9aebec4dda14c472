-- The audit log. Partitioned by month; limena.ensure_partitions() makes the months. There is no DEFAULT partition: it
-- would turn each ATTACH into an exclusive lock.

-- No foreign key to tenants: the log outlives what it tells of, and the check would lock the tenant's row at each
-- write.
create table limena.audit_logs (
    tenant_id uuid not null,
    occurred_at timestamptz not null,
    seq bigint not null,
    id uuid not null,
    action text not null,
    actor_type text not null
    constraint audit_logs_actor_type_check check (actor_type in ('user', 'api_key', 'operator', 'system')),
    actor_id uuid,
    actor_label text,
    entity_type text,
    entity_id text,
    changes jsonb not null default '{}',
    details jsonb not null default '{}',
    request_id text,
    ip inet,
    user_agent text,
    constraint audit_logs_pkey primary key (tenant_id, occurred_at, seq)
) partition by range (occurred_at);
alter table limena.audit_logs alter column actor_id set statistics 0;
alter table limena.audit_logs alter column actor_label set statistics 0;
alter table limena.audit_logs alter column entity_id set statistics 0;
alter table limena.audit_logs alter column changes set statistics 0;
alter table limena.audit_logs alter column details set statistics 0;
alter table limena.audit_logs alter column request_id set statistics 0;
alter table limena.audit_logs alter column ip set statistics 0;
alter table limena.audit_logs alter column user_agent set statistics 0;
comment on table limena.audit_logs is 'What happened, by whom, to what. Written by triggers and procedures alone; append-only for every role of the API.';
comment on column limena.audit_logs.action is 'One of limena.audit_actions: self_check() and a test see to it. No CHECK does, which every row would pay for.';
comment on column limena.audit_logs.occurred_at is 'By the clock, when the row was written.';
comment on column limena.audit_logs.seq is 'Drawn after the transaction had its id; orders rows of one moment. Has gaps.';
comment on column limena.audit_logs.actor_label is 'An address, a key''s name or a database login, as it was then: survives what it names.';
comment on column limena.audit_logs.changes is '{column: [old, new]} of what changed; secrets and hashes read [redacted].';
comment on column limena.audit_logs.details is 'What the event tells that changes no column.';

-- A plain sequence: identity columns cannot be attached as partitions on PostgreSQL 18.
create sequence limena.audit_logs_seq_seq as bigint owned by limena.audit_logs.seq;

create table limena_private.audited_tables (
    relation regclass constraint audited_tables_pkey primary key,
    entity_type text not null,
    key_columns text[] not null,
    entity_column text not null,
    scope text not null
    constraint audited_tables_scope_check check (scope in ('tenant', 'user', 'platform')),
    scope_column text,
    redacted_columns text[] not null,
    column_actions jsonb not null,
    ignored_columns text[] not null
);
comment on table limena_private.audited_tables is
'What record_changes() records of each table; filled by limena_private.audit_table() from the tables'' policy files.';
