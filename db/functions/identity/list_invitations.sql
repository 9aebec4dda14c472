create or replace function limena.list_invitations(p_limit integer default 50, p_after text default null)
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
    perform limena.require('invitations:read');

    return json_build_object(
        'items', coalesce(json_agg(p.item order by p.place) filter (where p.place <= v_limit), '[]'),
        'next', max(limena.cursor_of(p.created_at, p.id::text)) filter (where p.place = v_limit and p.is_followed)
    )
    from (
        select
            row_number() over newest_first as place,
            lead(true) over newest_first is not null as is_followed,
            i.created_at,
            i.id,
            i as item
        from (
            select
                a.id,
                a.email,
                a.role,
                a.invited_by,
                a.created_at,
                a.expires_at
            from limena.invitations as a
            where a.tenant_id = (select limena.current_tenant_id())
                and a.accepted_at is null
                and a.withdrawn_at is null
                and a.expires_at > clock_timestamp()
                and (a.created_at, a.id) < (v_before_at, v_before_id)
            order by a.created_at desc, a.id desc
            limit v_limit + 1
        ) as i
        window newest_first as (order by i.created_at desc, i.id desc)
    ) as p;
end;
$$;

comment on function limena.list_invitations(integer, text) is
'The open invitations to the current tenant, newest first, and never a hash. Raises 42501 without invitations:read, 22023 for a bad limit or cursor.';

grant execute on function limena.list_invitations(integer, text) to limena_app;
