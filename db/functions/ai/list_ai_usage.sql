-- Out of the maintained sums: what it costs depends on days, callers and models, not on calls. Callers choose the
-- names of models, so without a beginning it is of the last three months.
--
-- Days come newest first, all else in the order of names and ids. A cursor is the last one shown.
create or replace function limena.list_ai_usage(
    p_by text default null,
    p_from timestamptz default null,
    p_to timestamptz default null,
    p_limit integer default 50,
    p_after text default null
)
returns json
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_by text := coalesce(p_by, 'day');
    v_limit integer := limena.page_limit(p_limit);
begin
    if v_by not in ('day', 'model', 'user', 'api_key') then
        raise exception 'must be day, model, user or api_key' using errcode = '22023', column = 'by';
    end if;
    if not (
        p_after ~ case v_by
            when 'day' then '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
            when 'model' then '^([A-Za-z0-9._:/@+-]{1,100}|\(other\))$'
            else '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        end
    ) then
        raise exception 'is not a cursor of this list' using errcode = '22023', column = 'after';
    end if;
    perform limena.require('ai:read');

    return json_build_object(
        'items', coalesce(json_agg(p.item order by p.place) filter (where p.place <= v_limit), '[]'),
        'next', max(p.key) filter (where p.place = v_limit and p.is_followed)
    )
    from (
        select
            row_number() over in_order as place,
            lead(true) over in_order is not null as is_followed,
            g.key,
            json_build_object(
                'key', g.key,
                'calls', g.calls,
                'failed_calls', g.failed_calls,
                'unfinished_calls', g.unfinished_calls,
                'prompt_tokens', g.prompt_tokens,
                'completion_tokens', g.completion_tokens,
                'average_latency_ms', g.average_latency_ms
            ) as item
        from (
            select
                k.key,
                sum(d.calls) as calls,
                coalesce(sum(d.calls) filter (where d.outcome = 'failed'), 0) as failed_calls,
                coalesce(sum(d.calls) filter (where d.outcome in ('released', 'expired')), 0) as unfinished_calls,
                sum(d.prompt_tokens) as prompt_tokens,
                sum(d.completion_tokens) as completion_tokens,
                round(
                    sum(d.latency_ms) / nullif(sum(d.calls) filter (where d.outcome in ('succeeded', 'failed')), 0)
                ) as average_latency_ms
            from limena.ai_usage_days as d
            cross join lateral (
                select case v_by
                    when 'day' then d.day::text when 'model' then d.model else d.actor_id::text
                end collate "C" as key
            ) as k
            where d.tenant_id = (select limena.current_tenant_id())
                and d.calls > 0
                and d.day >= coalesce(
                    (p_from at time zone 'UTC')::date, (coalesce(p_to, limena.ai_clock()) at time zone 'UTC')::date - 92
                )
                and d.day < coalesce(p_to at time zone 'UTC', 'infinity')
                and (v_by in ('day', 'model') or d.actor_type = v_by)
                and (p_after is null or case v_by when 'day' then k.key < p_after else k.key > p_after end)
            group by k.key
            order by case when v_by = 'day' then k.key end desc, k.key
            limit v_limit + 1
        ) as g
        window in_order as (order by case when v_by = 'day' then g.key end desc, g.key)
    ) as p;
end;
$$;

comment on function limena.list_ai_usage(text, timestamptz, timestamptz, integer, text) is
'AI calls of the current tenant, added up by day (UTC, newest first), model, user or api_key: key is the day, the model''s name or the id. from and to cut at days: from is inclusive, to is not; without from it is 92 days before to, or before today. Raises 42501 without ai:read, 22023 for a bad value.';

grant execute on function limena.list_ai_usage(text, timestamptz, timestamptz, integer, text) to limena_app;
