-- After a clock that was ahead: what was counted in a time that is yet to come counts now, and the counters are what
-- the detail adds up to. Calls that a reset had forgotten count again, for their hour; a pause ends, and begins anew
-- with the next call where it has its cause.
--
-- SECURITY DEFINER because no role may write a counter. For limena_maintenance alone.
create or replace function limena.recount_ai_quota(p_tenant_id uuid, p_reason text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_quota limena.ai_quotas;
    v_now timestamptz;
    v_month timestamptz;
    v_day date;
    v_previous text[];
begin
    if not limena_private.is_reason(p_reason, 3) then
        raise exception 'must say why, in 3 to 500 characters' using errcode = '22023', column = 'reason';
    end if;
    select q.* into v_quota
    from limena.ai_quotas as q
    where q.tenant_id = p_tenant_id
    for update;
    if not found then
        raise exception 'no such quota' using errcode = 'P0002';
    end if;
    v_now := limena.ai_clock();
    v_month := date_trunc('month', v_now at time zone 'UTC') at time zone 'UTC';
    v_day := (v_now at time zone 'UTC')::date;

    update limena.ai_reservations as r
    set
        created_at = least(r.created_at, v_now),
        expires_at = least(r.expires_at, v_now + interval '10 minutes'),
        closed_at = case when r.closed_at > v_now then v_now else r.closed_at end
    where r.tenant_id = p_tenant_id and (r.created_at > v_now or r.closed_at > v_now);
    update limena.ai_usage_logs as l
    set occurred_at = v_now
    where l.tenant_id = p_tenant_id and l.occurred_at > v_now;

    delete from limena.ai_usage_days as d
    where d.tenant_id = p_tenant_id and d.day >= v_day;
    insert into limena.ai_usage_days (
        tenant_id, day, actor_type, actor_id, model, outcome, calls, prompt_tokens, completion_tokens, latency_ms
    )
    select
        p_tenant_id, v_day, g.actor_type, g.actor_id, g.summed_model, g.outcome, sum(g.calls), sum(g.prompt_tokens),
        sum(g.completion_tokens), sum(g.latency_ms)
    from (
        select
            l.actor_type,
            l.actor_id,
            -- As summed_model() has it: the thousand that came first have a sum of their own.
            case
                when row_number() over (order by min(l.occurred_at), l.actor_type, l.actor_id, l.model, l.outcome) <= 1000
                    then l.model
                else '(other)'
            end as summed_model,
            l.outcome,
            count(*) as calls,
            sum(l.prompt_tokens) as prompt_tokens,
            sum(l.completion_tokens) as completion_tokens,
            sum(coalesce(l.latency_ms, 0)) as latency_ms
        from limena.ai_usage_logs as l
        where l.tenant_id = p_tenant_id and l.occurred_at >= v_day::timestamp at time zone 'UTC'
        group by l.actor_type, l.actor_id, l.model, l.outcome
    ) as g
    group by g.actor_type, g.actor_id, g.summed_model, g.outcome;
    delete from limena.ai_quota_months as m
    where m.tenant_id = p_tenant_id and m.month >= (v_month at time zone 'UTC')::date;

    v_previous := limena_private.seal_for_system(p_tenant_id);
    perform limena_private.record_event(
        p_tenant_id => p_tenant_id,
        p_action => 'ai_quota.recounted',
        p_entity_type => 'ai_quota',
        p_entity_id => p_tenant_id::text,
        p_details => jsonb_build_object('counted_up_to', v_quota.as_of, 'reason', p_reason)
    );
    if v_quota.trip_cause is not null then
        v_quota := limena_private.end_ai_trip(v_quota, 'manual', p_reason);
    end if;
    perform limena_private.seal_again(v_previous);

    if date_trunc('month', v_quota.as_of at time zone 'UTC') <> v_month at time zone 'UTC' then
        v_quota.written_off_tokens := 0;
        v_quota.warned_percent := 0;
    end if;
    v_quota.as_of := v_now;
    select array_agg(c.calls order by c.minute), sum(c.calls) into v_quota.calls, v_quota.recent_calls
    from (
        select m.minute, count(r.id)::integer as calls
        from generate_series(0, 60) as m (minute)
        left join limena.ai_reservations as r
            on r.tenant_id = p_tenant_id
            and date_trunc('minute', r.created_at, 'UTC')
            = date_trunc('minute', v_now, 'UTC') - make_interval(mins => m.minute)
        group by m.minute
    ) as c;
    v_quota.used_tokens := (
        select coalesce(sum(l.prompt_tokens::bigint + l.completion_tokens), 0)
        from limena.ai_usage_logs as l
        where l.tenant_id = p_tenant_id and l.occurred_at >= v_month
    );
    select coalesce(sum(r.estimated_tokens) filter (where r.created_at >= v_month), 0), min(r.expires_at)
    into v_quota.reserved_tokens, v_quota.expires_at
    from limena.ai_reservations as r
    where r.tenant_id = p_tenant_id and r.state = 'live';
    perform limena_private.save_ai_quota(v_quota);
end;
$$;

comment on function limena.recount_ai_quota(uuid, text) is
'Counts a tenant''s AI quota anew from the detail, after a clock that was ahead, and records why. Raises P0002 when there is none, 22023 without a reason.';

grant execute on function limena.recount_ai_quota(uuid, text) to limena_maintenance;
