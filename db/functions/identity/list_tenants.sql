-- Where a person may go: for the tenant switcher, and for switch_tenant().
--
-- What an attacker would try: learn with a key in which other tenants its creator is (a key has no session: refused),
-- or whether a tenant exists (one's own memberships are all there is).
--
-- SECURITY DEFINER because limena_app reads the memberships and the tenants of the current tenant alone.
create or replace function limena.list_tenants(p_limit integer default 50, p_after text default null)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_limit integer := limena.page_limit(p_limit);
    v_before_at timestamptz := limena.cursor_time(p_after);
    v_before_id uuid := coalesce(
        limena.cursor_key(p_after, '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')::uuid, '00000000-0000-0000-0000-000000000000'
    );
    v_user_id uuid := limena.current_session_user_id();
begin
    if v_user_id is null then
        raise exception 'permission denied' using errcode = '42501';
    end if;

    return json_build_object(
        'items', coalesce(json_agg(p.item order by p.place) filter (where p.place <= v_limit), '[]'),
        'next', max(limena.cursor_of(p.joined_at, p.id::text)) filter (where p.place = v_limit and p.is_followed)
    )
    from (
        select
            row_number() over newest_first as place,
            lead(true) over newest_first is not null as is_followed,
            t.joined_at,
            t.id,
            t as item
        from (
            select
                a.id,
                a.name,
                a.state,
                m.role,
                m.created_at as joined_at
            from limena.memberships as m
            inner join limena.tenants as a on m.tenant_id = a.id
            where m.user_id = v_user_id
                and a.state <> 'deleted'
                and (m.created_at, a.id) < (v_before_at, v_before_id)
            order by m.created_at desc, a.id desc
            limit v_limit + 1
        ) as t
        window newest_first as (order by t.joined_at desc, t.id desc)
    ) as p;
end;
$$;

comment on function limena.list_tenants(integer, text) is
'The tenants of the person who calls, the one that was joined last first. Raises 42501 without a session, 22023 for a bad limit or cursor.';

grant execute on function limena.list_tenants(integer, text) to limena_app;
