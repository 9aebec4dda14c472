create or replace function limena.list_members(p_limit integer default 50, p_after text default null)
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
    perform limena.require('members:read');

    return json_build_object(
        'items', coalesce(json_agg(p.item order by p.place) filter (where p.place <= v_limit), '[]'),
        'next', max(limena.cursor_of(p.created_at, p.user_id::text)) filter (where p.place = v_limit and p.is_followed)
    )
    from (
        select
            row_number() over newest_first as place,
            lead(true) over newest_first is not null as is_followed,
            m.created_at,
            m.user_id,
            m as item
        from (
            with page as materialized (
                select
                    a.user_id,
                    a.role,
                    a.created_at
                from limena.memberships as a
                where a.tenant_id = (select limena.current_tenant_id())
                    and (a.created_at, a.user_id) < (v_before_at, v_before_id)
                order by a.created_at desc, a.user_id desc
                limit v_limit + 1
            )

            select
                g.user_id,
                u.email,
                u.display_name,
                g.role,
                g.created_at
            from page as g
            inner join limena.find_people(array(select g.user_id from page as g)) as u on g.user_id = u.id
        ) as m
        window newest_first as (order by m.created_at desc, m.user_id desc)
    ) as p;
end;
$$;

comment on function limena.list_members(integer, text) is
'The members of the current tenant, newest first. Raises 42501 without members:read, 22023 for a bad limit or cursor.';

grant execute on function limena.list_members(integer, text) to limena_app;
