-- Keyset pages over the tenant's rows and the announcements. Planned anew for the filters that are given, each time: a
-- plan for all of them would use the index of none.
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
set plan_cache_mode = force_custom_plan
as $$
declare
    v_limit integer := limena.page_limit(p_limit);
    v_before_at timestamptz := limena.cursor_time(p_after);
    v_before_seq bigint := coalesce(limena.cursor_key(p_after, '^[0-9]{1,18}$')::bigint, 0);
    v_tenant_id uuid := limena.current_tenant_id();
begin
    perform limena.require('audit:read');
    if p_to <= v_before_at then
        v_before_at := p_to;
        v_before_seq := 0;
    end if;

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
            (
                select
                    l.occurred_at, l.seq, l.id, l.action, l.actor_type, l.actor_id, l.actor_label, l.on_behalf_of_id,
                    l.on_behalf_of_label, l.entity_type, l.entity_id, l.changes, l.details, l.request_id, l.ip, l.user_agent
                from limena.audit_logs as l
                where l.tenant_id = v_tenant_id
                    and l.occurred_at <= v_before_at
                    and (l.occurred_at, l.seq) < (v_before_at, v_before_seq)
                    and (p_from is null or l.occurred_at >= p_from)
                    and (p_action is null or l.action = p_action)
                    and (p_actor_id is null or l.actor_id = p_actor_id)
                    and (p_entity_type is null or l.entity_type = p_entity_type)
                    and (p_entity_id is null or l.entity_id = p_entity_id)
                order by l.occurred_at desc, l.seq desc
                limit v_limit + 1
            )
            union all
            select
                n.occurred_at, n.seq, n.id, n.action, n.actor_type, n.actor_id, n.actor_label, n.on_behalf_of_id,
                n.on_behalf_of_label, n.entity_type, n.entity_id, n.changes, n.details, n.request_id, n.ip, n.user_agent
            from limena.announcements(
                p_before_at => v_before_at,
                p_before_seq => v_before_seq,
                p_from => coalesce(p_from, '-infinity'),
                p_limit => case when num_nonnulls(p_action, p_actor_id, p_entity_type, p_entity_id) = 0 then v_limit + 1 end
            ) as n
            where (p_action is null or n.action = p_action)
                and (p_actor_id is null or n.actor_id = p_actor_id)
                and (p_entity_type is null or n.entity_type = p_entity_type)
                and (p_entity_id is null or n.entity_id = p_entity_id)
            order by occurred_at desc, seq desc
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
                a.on_behalf_of_id,
                a.on_behalf_of_label,
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
