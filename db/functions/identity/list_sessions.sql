create or replace function limena.list_sessions(p_limit integer default 50, p_after text default null)
returns json
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_limit integer := limena.page_limit(p_limit);
    v_before_at timestamptz := limena.cursor_time(p_after);
    v_before_id uuid := coalesce(
        limena.cursor_key(p_after, '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')::uuid, '00000000-0000-0000-0000-000000000000'
    );
begin
    if limena.current_session_id() is null then
        raise exception 'permission denied' using errcode = '42501';
    end if;

    return json_build_object(
        'items', coalesce(json_agg(p.item order by p.place) filter (where p.place <= v_limit), '[]'),
        'next', max(limena.cursor_of(p.created_at, p.id::text)) filter (where p.place = v_limit and p.is_followed)
    )
    from (
        select
            row_number() over newest_first as place,
            lead(true) over newest_first is not null as is_followed,
            s.created_at,
            s.id,
            s as item
        from (
            select
                a.id,
                a.user_agent,
                host(a.ip) as ip,
                a.created_at,
                u.last_seen_at,
                a.expires_at,
                a.id = (select limena.current_session_id()) as current
            from limena.sessions as a
            inner join limena.session_uses as u on a.id = u.session_id
            where a.user_id = (select limena.current_user_id())
                and a.ended_at is null
                and a.expires_at > clock_timestamp()
                and (a.created_at, a.id) < (v_before_at, v_before_id)
            order by a.created_at desc, a.id desc
            limit v_limit + 1
        ) as s
        window newest_first as (order by s.created_at desc, s.id desc)
    ) as p;
end;
$$;

comment on function limena.list_sessions(integer, text) is
'The live sessions of the person who calls, newest first. Raises 42501 without a session, 22023 for a bad limit or cursor.';

grant execute on function limena.list_sessions(integer, text) to limena_app;
