-- AI quotas: what a tenant may use, what it has used and reserved, each call, and each day's sums.
--
-- The names of models and the ids of who calls get no statistics: they would tell of other tenants what row-level
-- security hides.

create table limena.ai_settings (
    tenant_id uuid constraint ai_settings_pkey primary key
    constraint ai_settings_tenant_id_fkey references limena.tenants (id),
    is_enabled boolean not null default true,
    is_allowed boolean not null default true,
    max_calls_per_hour integer not null default 500
    constraint ai_settings_max_calls_per_hour_check check (max_calls_per_hour between 1 and 1000000),
    max_tokens_per_month bigint not null default 20000000
    constraint ai_settings_max_tokens_per_month_check check (max_tokens_per_month between 1 and 1000000000000000),
    calls_per_hour integer
    constraint ai_settings_calls_per_hour_check check (calls_per_hour between 1 and 1000000),
    tokens_per_month bigint
    constraint ai_settings_tokens_per_month_check check (tokens_per_month between 1 and 1000000000000000)
);
comment on table limena.ai_settings is 'A tenant''s switches and limits. A tenant without a row has the defaults.';
comment on column limena.ai_settings.is_enabled is 'The tenant''s own switch.';
comment on column limena.ai_settings.is_allowed is 'The platform''s kill switch.';
comment on column limena.ai_settings.max_calls_per_hour is 'The platform''s limit.';
comment on column limena.ai_settings.max_tokens_per_month is 'The platform''s limit.';
comment on column limena.ai_settings.calls_per_hour is 'The owner''s limit, which counts where it is lower; NULL: none.';
comment on column limena.ai_settings.tokens_per_month is 'The owner''s limit, which counts where it is lower; NULL: none.';

-- The one truth, under its row lock. No index but the key, and room on each page: its updates stay HOT. One check and
-- no more, here and on ai_reservations: PostgreSQL reads each one anew for every statement, and nobody but the
-- procedures writes (docs/decisions/0046-what-a-reservation-costs.md).
create table limena.ai_quotas (
    tenant_id uuid constraint ai_quotas_pkey primary key
    constraint ai_quotas_tenant_id_fkey references limena.tenants (id),
    as_of timestamptz not null,
    calls integer[] not null default array_fill(0, array[61]),
    recent_calls integer not null default 0,
    used_tokens bigint not null default 0,
    reserved_tokens bigint not null default 0,
    written_off_tokens bigint not null default 0,
    expires_at timestamptz,
    warned_percent integer not null default 0,
    trip_cause text,
    tripped_at timestamptz,
    trip_ends_at timestamptz,
    constraint ai_quotas_tokens_check check (least(used_tokens, reserved_tokens) >= 0)
) with (fillfactor = 50);
comment on table limena.ai_quotas is
'What a tenant has used and reserved in its current month and in the last hour. Changed by the procedures of the ai domain alone, under the row''s lock.';
comment on column limena.ai_quotas.as_of is 'By the clock, read under the lock: calls[1] is its minute, the tokens are its month''s (UTC). Never goes back.';
comment on column limena.ai_quotas.calls is 'Calls granted in each of 61 minutes, the current one first: no 60 minutes hold more than their sum.';
comment on column limena.ai_quotas.recent_calls is 'Their sum.';
comment on column limena.ai_quotas.used_tokens is 'Of the month''s settled calls: the sum of ai_usage_logs.';
comment on column limena.ai_quotas.reserved_tokens is 'Of the month''s live reservations: the sum of ai_reservations.';
comment on column limena.ai_quotas.written_off_tokens is 'What of used_tokens the platform no longer counts against the ceiling: it has reset a trip.';
comment on column limena.ai_quotas.expires_at is 'When the first live reservation expires, or earlier: before that none has to be looked for.';
comment on column limena.ai_quotas.warned_percent is 'The highest warning of the month: 0, 80 or 95.';
comment on column limena.ai_quotas.trip_cause is 'velocity or ceiling; NULL: AI is not paused.';

-- Closed months. A reservation counts in the month in which it was made, so these change until the last is settled.
create table limena.ai_quota_months (
    tenant_id uuid not null
    constraint ai_quota_months_tenant_id_fkey references limena.ai_quotas (tenant_id),
    month date not null
    constraint ai_quota_months_month_check check (month = date_trunc('month', month::timestamp)),
    used_tokens bigint not null
    constraint ai_quota_months_used_tokens_check check (used_tokens >= 0),
    reserved_tokens bigint not null
    constraint ai_quota_months_reserved_tokens_check check (reserved_tokens >= 0),
    constraint ai_quota_months_pkey primary key (tenant_id, month)
);
comment on table limena.ai_quota_months is 'What tenants used in the months before the current one.';
comment on column limena.ai_quota_months.month is 'Its first day; UTC.';

create table limena.ai_reservations (
    tenant_id uuid not null
    constraint ai_reservations_tenant_id_fkey references limena.ai_quotas (tenant_id),
    id uuid not null,
    actor_type text not null,
    actor_id uuid not null,
    model text not null,
    estimated_tokens integer not null,
    idempotency_key text,
    state text not null default 'live',
    created_at timestamptz not null,
    expires_at timestamptz not null,
    closed_at timestamptz,
    constraint ai_reservations_state_check check ((state = 'live') = (closed_at is null)),
    constraint ai_reservations_pkey primary key (tenant_id, id)
) with (fillfactor = 80);
alter table limena.ai_reservations alter column actor_id set statistics 0;
alter table limena.ai_reservations alter column model set statistics 0;
alter table limena.ai_reservations alter column idempotency_key set statistics 0;
create unique index ai_reservations_idempotency_key_key
on limena.ai_reservations (tenant_id, actor_id, idempotency_key) where idempotency_key is not null;
create index ai_reservations_expires_at_idx on limena.ai_reservations (tenant_id, expires_at) where state = 'live';
create index ai_reservations_closed_at_idx on limena.ai_reservations (closed_at) where closed_at is not null;
comment on column limena.ai_reservations.state is 'live, settled, released or expired.';
comment on table limena.ai_reservations is
'AI calls that were granted. A closed one stays for a week: for retries with its Idempotency-Key and for late settlement.';

-- Partitioned by month like the audit log; limena.ensure_partitions() makes the months. No foreign key, for the reasons
-- given there.
create table limena.ai_usage_logs (
    tenant_id uuid not null,
    occurred_at timestamptz not null,
    id uuid not null,
    actor_type text not null
    constraint ai_usage_logs_actor_type_check check (actor_type in ('user', 'api_key')),
    actor_id uuid not null,
    model text not null,
    outcome text not null
    constraint ai_usage_logs_outcome_check check (outcome in ('succeeded', 'failed', 'released', 'expired')),
    prompt_tokens integer not null default 0
    constraint ai_usage_logs_prompt_tokens_check check (prompt_tokens >= 0),
    completion_tokens integer not null default 0
    constraint ai_usage_logs_completion_tokens_check check (completion_tokens >= 0),
    latency_ms integer
    constraint ai_usage_logs_latency_ms_check check (latency_ms >= 0),
    recorded_at timestamptz not null,
    recorded_by uuid,
    constraint ai_usage_logs_pkey primary key (tenant_id, occurred_at, id)
) partition by range (occurred_at);
alter table limena.ai_usage_logs alter column id set statistics 0;
alter table limena.ai_usage_logs alter column actor_id set statistics 0;
alter table limena.ai_usage_logs alter column model set statistics 0;
alter table limena.ai_usage_logs alter column recorded_by set statistics 0;
comment on table limena.ai_usage_logs is
'One row a call, when its reservation is closed: who, which model, how many tokens, how long. Never what was said.';
comment on column limena.ai_usage_logs.occurred_at is 'When it was reserved: the month in which it counts.';
comment on column limena.ai_usage_logs.id is 'The reservation''s.';
comment on column limena.ai_usage_logs.outcome is
'expired: nobody settled or released it in time. A late settlement replaces that, and released.';
comment on column limena.ai_usage_logs.recorded_by is 'The user or key that settled or released it; NULL: it expired.';

-- The sums of ai_usage_logs, kept in the same transactions.
create table limena.ai_usage_days (
    tenant_id uuid not null
    constraint ai_usage_days_tenant_id_fkey references limena.ai_quotas (tenant_id),
    day date not null,
    actor_type text not null,
    actor_id uuid not null,
    model text not null,
    outcome text not null,
    calls bigint not null
    constraint ai_usage_days_calls_check check (calls >= 0),
    prompt_tokens bigint not null,
    completion_tokens bigint not null,
    latency_ms bigint not null,
    constraint ai_usage_days_pkey primary key (tenant_id, day, actor_type, actor_id, model, outcome)
) with (fillfactor = 80);
alter table limena.ai_usage_days alter column actor_id set statistics 0;
alter table limena.ai_usage_days alter column model set statistics 0;
comment on table limena.ai_usage_days is 'ai_usage_logs, added up by day (UTC), caller, model and outcome. A sum of no calls counts as none.';
comment on column limena.ai_usage_days.model is
'(other): of all models that came when the day had a thousand sums already.';
