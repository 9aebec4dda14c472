-- What is overdue goes, the first 500 of it: the row's lock is held meanwhile, and who comes next takes the next 500.
-- Until then they stay reserved, which refuses too much and grants nothing.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, under the lock of lock_ai_quota().
create or replace function limena_private.expire_ai_reservations(p_quota limena.ai_quotas)
returns limena.ai_quotas
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_month timestamp := date_trunc('month', p_quota.as_of at time zone 'UTC');
    v_given_back bigint;
begin
    with due as materialized (
        select r.id
        from limena.ai_reservations as r
        where r.tenant_id = p_quota.tenant_id and r.state = 'live' and r.expires_at <= p_quota.as_of
        order by r.expires_at
        limit 500
    ),

    expired as (
        update limena.ai_reservations as r
        set state = 'expired', closed_at = p_quota.as_of
        from due as d
        where r.tenant_id = p_quota.tenant_id and r.id = d.id
        returning r.id, r.actor_type, r.actor_id, r.model, r.estimated_tokens, r.created_at
    ),

    logged as (
        insert into limena.ai_usage_logs (tenant_id, occurred_at, id, actor_type, actor_id, model, outcome, recorded_at)
        select p_quota.tenant_id, e.created_at, e.id, e.actor_type, e.actor_id, e.model, 'expired', p_quota.as_of
        from expired as e
    ),

    summed as (
        insert into limena.ai_usage_days as d (
            tenant_id, day, actor_type, actor_id, model, outcome, calls, prompt_tokens, completion_tokens, latency_ms
        )
        select p_quota.tenant_id, g.day, g.actor_type, g.actor_id, m.model, 'expired', sum(g.calls), 0, 0, 0
        from (
            select (e.created_at at time zone 'UTC')::date as day, e.actor_type, e.actor_id, e.model, count(*) as calls
            from expired as e
            group by 1, 2, 3, 4
        ) as g
        cross join lateral (
            select limena_private.summed_model(
                p_quota.tenant_id, g.day, g.actor_type, g.actor_id, g.model, 'expired'
            ) as model
        ) as m
        group by g.day, g.actor_type, g.actor_id, m.model
        on conflict (tenant_id, day, actor_type, actor_id, model, outcome) do update
        set calls = d.calls + excluded.calls
    ),

    given_back as (
        select
            date_trunc('month', e.created_at at time zone 'UTC')::date as month,
            sum(e.estimated_tokens) as tokens
        from expired as e
        group by 1
    ),

    closed_months as (
        update limena.ai_quota_months as m
        set reserved_tokens = m.reserved_tokens - g.tokens
        from given_back as g
        where m.tenant_id = p_quota.tenant_id and m.month = g.month and g.month < v_month::date
    )

    select sum(g.tokens) into v_given_back
    from given_back as g
    where g.month = v_month::date;

    p_quota.reserved_tokens := p_quota.reserved_tokens - coalesce(v_given_back, 0);
    p_quota.expires_at := (
        select min(r.expires_at)
        from limena.ai_reservations as r
        where r.tenant_id = p_quota.tenant_id and r.state = 'live'
    );
    return p_quota;
end;
$$;

comment on function limena_private.expire_ai_reservations(limena.ai_quotas) is
'Expires at most 500 of a tenant''s reservations that are overdue at as_of, and returns the quota as it is then.';
