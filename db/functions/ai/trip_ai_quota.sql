-- A trip begins: its end is fixed here, it is recorded once, and the owners get a mail. Velocity: until a tenth of the
-- calls are free again, which is a minute's beginning, because buckets leave by the minute. Ceiling: until the month is
-- over (UTC).
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.trip_ai_quota(p_quota limena.ai_quotas, p_cause text, p_limit bigint)
returns limena.ai_quotas
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_minutes integer;
begin
    p_quota.trip_cause := p_cause;
    p_quota.tripped_at := p_quota.as_of;
    if p_cause = 'ceiling' then
        p_quota.trip_ends_at :=
            (date_trunc('month', p_quota.as_of at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    else
        select m.minutes into strict v_minutes
        from generate_series(1, 61) as m (minutes)
        where (select coalesce(sum(c.calls), 0) from unnest(p_quota.calls[1:61 - m.minutes]) as c (calls))
            <= p_limit - ceil(p_limit / 10.0)
        order by m.minutes
        limit 1;
        p_quota.trip_ends_at := date_trunc('minute', p_quota.as_of, 'UTC') + make_interval(mins => v_minutes);
    end if;

    perform limena_private.record_event(
        p_tenant_id => p_quota.tenant_id,
        p_action => 'ai_quota.tripped',
        p_entity_type => 'ai_quota',
        p_entity_id => p_quota.tenant_id::text,
        p_details => jsonb_build_object('cause', p_cause, 'limit', p_limit, 'ends_at', p_quota.trip_ends_at)
    );
    perform limena_private.mail_owners(
        p_tenant_id => p_quota.tenant_id,
        p_template => 'ai_' || p_cause || '_tripped',
        p_parameters => jsonb_build_object(
            'limit', p_limit,
            'until', to_char(p_quota.trip_ends_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
        )
    );
    return p_quota;
end;
$$;

comment on function limena_private.trip_ai_quota(limena.ai_quotas, text, bigint) is
'Pauses AI for a tenant (p_cause: velocity or ceiling), records that and mails the owners; returns the quota as it is then.';
