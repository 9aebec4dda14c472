-- One truth: what a row of ai_quotas says is what the detail adds up to, to the token, and so do the days' sums, where
-- (other) is that of all models that have none of their own (summed_model()). Of the current month and the one before:
-- older ones do not change any more, but by a late settlement.
--
-- One statement, hence one snapshot: it is right while others reserve and settle.
--
-- SECURITY DEFINER because no role may read across tenants. For limena_maintenance alone: it tells ids and numbers.
create or replace function limena.check_ai_quotas()
returns table (tenant_id uuid, finding text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_from timestamptz := (date_trunc('month', limena.ai_clock() at time zone 'UTC') - interval '1 month') at time zone 'UTC';
begin
    return query
    with counted as (
        select q.tenant_id, date_trunc('month', q.as_of at time zone 'UTC')::date as month, q.used_tokens, q.reserved_tokens
        from limena.ai_quotas as q
        union all
        select m.tenant_id, m.month, m.used_tokens, m.reserved_tokens
        from limena.ai_quota_months as m
    ),

    used as (
        select
            l.tenant_id,
            date_trunc('month', l.occurred_at at time zone 'UTC')::date as month,
            sum(l.prompt_tokens::bigint + l.completion_tokens) as tokens
        from limena.ai_usage_logs as l
        where l.occurred_at >= v_from
        group by 1, 2
    ),

    reserved as (
        select r.tenant_id, date_trunc('month', r.created_at at time zone 'UTC')::date as month, sum(r.estimated_tokens) as tokens
        from limena.ai_reservations as r
        where r.state = 'live' and r.created_at >= v_from
        group by 1, 2
    ),

    calls as (
        select
            l.tenant_id,
            (l.occurred_at at time zone 'UTC')::date as day,
            l.actor_type,
            l.actor_id,
            l.model,
            l.outcome,
            count(*) as calls,
            sum(l.prompt_tokens::bigint) as prompt_tokens,
            sum(l.completion_tokens::bigint) as completion_tokens,
            sum(coalesce(l.latency_ms, 0)::bigint) as latency_ms
        from limena.ai_usage_logs as l
        where l.occurred_at >= v_from
        group by 1, 2, 3, 4, 5, 6
    ),

    summed as (
        select
            g.tenant_id,
            g.day,
            g.actor_type,
            g.actor_id,
            coalesce(d.model, '(other)') as model,
            g.outcome,
            sum(g.calls) as calls,
            sum(g.prompt_tokens) as prompt_tokens,
            sum(g.completion_tokens) as completion_tokens,
            sum(g.latency_ms) as latency_ms
        from calls as g
        left join limena.ai_usage_days as d
            on g.tenant_id = d.tenant_id
            and g.day = d.day
            and g.actor_type = d.actor_type
            and g.actor_id = d.actor_id
            and g.model = d.model
            and g.outcome = d.outcome
        group by 1, 2, 3, 4, 5, 6
    )

    select c.tenant_id, format('%s: counts %s tokens as used, the detail has %s', c.month, c.used_tokens, coalesce(u.tokens, 0))
    from counted as c
    left join used as u on c.tenant_id = u.tenant_id and c.month = u.month
    where c.month >= (v_from at time zone 'UTC')::date and c.used_tokens <> coalesce(u.tokens, 0)
    union all
    select c.tenant_id, format('%s: counts %s tokens as reserved, the detail has %s', c.month, c.reserved_tokens, coalesce(r.tokens, 0))
    from counted as c
    left join reserved as r on c.tenant_id = r.tenant_id and c.month = r.month
    where c.month >= (v_from at time zone 'UTC')::date and c.reserved_tokens <> coalesce(r.tokens, 0)
    union all
    select
        d.tenant_id,
        format('%s: has tokens in the detail and no count', d.month)
    from (select u.* from used as u union all select r.* from reserved as r) as d
    where d.tokens > 0
        and not exists (select from counted as c where c.tenant_id = d.tenant_id and c.month = d.month)
    union all
    select coalesce(s.tenant_id, d.tenant_id), format('%s: the sums by day are not those of the detail', coalesce(s.day, d.day))
    from summed as s
    full join (
        select a.* from limena.ai_usage_days as a where a.day >= (v_from at time zone 'UTC')::date and a.calls > 0
    ) as d on s.tenant_id = d.tenant_id
        and s.day = d.day
        and s.actor_type = d.actor_type
        and s.actor_id = d.actor_id
        and s.model = d.model
        and s.outcome = d.outcome
    where (s.calls, s.prompt_tokens, s.completion_tokens, s.latency_ms)
        is distinct from (d.calls, d.prompt_tokens, d.completion_tokens, d.latency_ms)
    union all
    select q.tenant_id, format('counts %s calls, the minutes have %s', q.recent_calls, c.calls)
    from limena.ai_quotas as q
    cross join lateral (select sum(m.calls) as calls from unnest(q.calls) as m (calls)) as c
    where q.recent_calls <> c.calls
    union all
    select q.tenant_id, format('has counted up to %s, which is yet to come: the clock was wrong', q.as_of)
    from limena.ai_quotas as q
    where q.as_of > limena.ai_clock() + interval '1 minute';
end;
$$;

comment on function limena.check_ai_quotas() is
'One row for each AI quota that is not what ai_usage_logs and the live reservations add up to, and for each day''s sum that is not its detail''s; none when all is well.';

grant execute on function limena.check_ai_quotas() to limena_maintenance;
