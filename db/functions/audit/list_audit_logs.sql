create or replace function limena.list_audit_logs(
    p_limit integer default 50,
    p_after text default null,
    p_action text default null,
    p_actor_id uuid default null,
    p_entity_type text default null,
    p_entity_id text default null,
    p_from timestamptz default null,
    p_to timestamptz default null
)
returns json
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_limit integer := limena.page_limit(p_limit);
    v_before_at timestamptz := limena.cursor_time(p_after);
    v_before_seq bigint := coalesce(limena.cursor_key(p_after, '^[0-9]{1,18}$')::bigint, 0);
begin
    perform limena.require('audit:read');

    return json_build_object(
        'items', coalesce(json_agg(p.item order by p.place) filter (where p.place <= v_limit), '[]'),
        'next', max(limena.cursor_of(p.occurred_at, p.seq::text)) filter (where p.place = v_limit and p.is_followed)
    )
    from (
        select
            row_number() over newest_first as place,
            lead(true) over newest_first is not null as is_followed,
            a.occurred_at,
            a.seq,
            i as item
        from (
            select l.*
            from limena.audit_logs as l
            where l.tenant_id = (select limena.current_tenant_id())
                and (l.occurred_at, l.seq) < (v_before_at, v_before_seq)
                and l.occurred_at >= coalesce(p_from, '-infinity')
                and l.occurred_at < coalesce(p_to, 'infinity')
                and (p_action is null or l.action = p_action)
                and (p_actor_id is null or l.actor_id = p_actor_id)
                and (p_entity_type is null or l.entity_type = p_entity_type)
                and (p_entity_id is null or l.entity_id = p_entity_id)
            order by l.occurred_at desc, l.seq desc
            limit v_limit + 1
        ) as a
        cross join lateral (
            select
                a.id,
                a.occurred_at,
                a.action,
                a.actor_type,
                a.actor_id,
                a.actor_label,
                a.entity_type,
                a.entity_id,
                a.changes,
                a.details,
                a.request_id,
                host(a.ip) as ip,
                a.user_agent
        ) as i
        window newest_first as (order by a.occurred_at desc, a.seq desc)
    ) as p;
end;
$$;

comment on function limena.list_audit_logs(integer, text, text, uuid, text, text, timestamptz, timestamptz) is
'The audit log of the current tenant, newest first. p_from is inclusive, p_to is not. Raises 42501 without audit:read, 22023 for a bad limit or cursor.';

grant execute on function limena.list_audit_logs(integer, text, text, uuid, text, text, timestamptz, timestamptz)
to limena_app;
