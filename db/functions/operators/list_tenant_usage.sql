-- As limena_readonly, behind a declared access: row-level security shows what the access covers.
--
-- One pass over the tenants' counters finds the page; all that is told of a tenant is looked up for its rows alone. The
-- trend of all tenants together reads each tenant's 30 days, so it is there for whoever asks for it.
--
-- A cursor is the value and the id of the last tenant shown. Values move while someone pages; a tenant may then be seen
-- twice or not at all.
create or replace function limena.list_tenant_usage(
    p_sort text default null,
    p_limit integer default 50,
    p_after text default null,
    p_trend boolean default false
)
returns json
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_sort text := coalesce(p_sort, 'tokens');
    v_limit integer := limena.page_limit(p_limit);
    v_after text[] := regexp_match(p_after, '^([0-9]{1,20}(?:\.[0-9]{1,2})?)_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$');
    v_from date := (limena.ai_clock() at time zone 'UTC')::date - 29;
begin
    if v_sort not in ('tokens', 'percent', 'calls', 'created') then
        raise exception 'must be tokens, percent, calls or created' using errcode = '22023', column = 'sort';
    end if;
    if p_after is not null and v_after is null then
        raise exception 'is not a cursor of this list' using errcode = '22023', column = 'after';
    end if;

    return json_build_object(
        'items', coalesce(json_agg(p.item order by p.place) filter (where p.place <= v_limit), '[]'),
        'next', max(p.value || '_' || p.tenant_id) filter (where p.place = v_limit and p.is_followed),
        'days', case when p_trend then (
            select coalesce(json_agg(d order by d.day desc), '[]')
            from (
                select u.day, sum(u.calls) as calls, sum(u.prompt_tokens + u.completion_tokens) as tokens
                from limena.ai_usage_days as u
                where u.day >= v_from and u.calls > 0
                group by u.day
            ) as d
        ) end
    )
    from (
        select
            row_number() over in_order as place,
            lead(true) over in_order is not null as is_followed,
            v.value,
            v.tenant_id,
            i as item
        from (
            select
                s.tenant_id,
                s.is_enabled,
                s.is_allowed,
                s.calls_per_hour,
                s.tokens_per_month,
                s.recent_calls,
                s.used_tokens,
                s.reserved_tokens,
                s.trip_cause,
                s.tripped_at,
                s.trip_ends_at,
                t.name,
                t.state,
                k.percent,
                k.value
            from limena.ai_quota_states as s
            inner join limena.tenants as t on s.tenant_id = t.id
            cross join lateral (
                select
                    p.percent,
                    case v_sort
                        when 'tokens' then s.used_tokens + s.reserved_tokens
                        when 'percent' then p.percent
                        when 'calls' then s.recent_calls
                        else floor(extract(epoch from t.created_at))
                    end as value
                from (select round(100.0 * (s.used_tokens + s.reserved_tokens) / s.tokens_per_month, 2) as percent) as p
            ) as k
            where t.id <> '00000000-0000-4000-8000-000000000000'
                and t.state <> 'deleted'
                and (v_after is null or (k.value, t.id) < (v_after[1]::numeric, v_after[2]::uuid))
            order by k.value desc, t.id desc
            limit v_limit + 1
        ) as v
        cross join lateral (
            select
                json_build_object('id', v.tenant_id, 'name', v.name, 'state', v.state) as tenant,
                json_build_object('limit', v.calls_per_hour, 'used', v.recent_calls) as calls,
                json_build_object(
                    'limit', v.tokens_per_month,
                    'used', v.used_tokens,
                    'reserved', v.reserved_tokens,
                    'percent', v.percent
                ) as tokens,
                case when v.trip_cause is not null then json_build_object(
                    'cause', v.trip_cause, 'tripped_at', v.tripped_at, 'ends_at', v.trip_ends_at
                ) end as trip,
                v.is_enabled,
                v.is_allowed,
                (
                    select coalesce(json_agg(d order by d.day desc), '[]')
                    from (
                        select u.day, sum(u.calls) as calls, sum(u.prompt_tokens + u.completion_tokens) as tokens
                        from limena.ai_usage_days as u
                        where u.tenant_id = v.tenant_id and u.day >= v_from and u.calls > 0
                        group by u.day
                    ) as d
                ) as days,
                -- Why a switch stands as it does: the platform's log says it.
                (
                    select coalesce(json_agg(a order by a.occurred_at desc), '[]')
                    from (
                        select
                            l.occurred_at,
                            l.actor_label,
                            l.details ->> 'action' as action,
                            l.details ->> 'reason' as reason
                        from limena.audit_logs as l
                        where l.tenant_id = '00000000-0000-4000-8000-000000000000'
                            and l.entity_id = v.tenant_id::text
                            and l.action = 'platform.tenant_administered'
                            and l.occurred_at > limena.ai_clock() - interval '90 days'
                        order by l.occurred_at desc, l.seq desc
                        limit 3
                    ) as a
                ) as acts
        ) as i
        window in_order as (order by v.value desc, v.tenant_id desc)
    ) as p;
end;
$$;

comment on function limena.list_tenant_usage(text, integer, text, boolean) is
'Tenants with their AI usage of this month against their limits, trips, the last 30 days and the platform''s last acts with their reasons, most first by tokens, percent or calls, or newest first by created; with p_trend the 30 days of all of them together. Raises 22023 for a bad value.';

grant execute on function limena.list_tenant_usage(text, integer, text, boolean) to limena_readonly;
