create or replace function limena.list_api_keys(p_limit integer default 50, p_after text default null)
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
    perform limena.require('api_keys:read');

    return json_build_object(
        'items', coalesce(json_agg(p.item order by p.place) filter (where p.place <= v_limit), '[]'),
        'next', max(limena.cursor_of(p.created_at, p.id::text)) filter (where p.place = v_limit and p.is_followed)
    )
    from (
        select
            row_number() over newest_first as place,
            lead(true) over newest_first is not null as is_followed,
            k.created_at,
            k.id,
            k as item
        from (
            select
                a.id,
                a.name,
                a.prefix,
                a.last_four,
                a.scopes,
                a.created_by,
                a.created_at,
                a.expires_at,
                a.calls_per_minute,
                a.retires_at,
                u.last_used_at,
                a.revoked_at
            from limena.api_keys as a
            left join limena.api_key_uses as u on a.tenant_id = u.tenant_id and a.id = u.api_key_id
            where a.tenant_id = (select limena.current_tenant_id())
                and (a.created_at, a.id) < (v_before_at, v_before_id)
            order by a.created_at desc, a.id desc
            limit v_limit + 1
        ) as k
        window newest_first as (order by k.created_at desc, k.id desc)
    ) as p;
end;
$$;

comment on function limena.list_api_keys(integer, text) is
'The API keys of the current tenant, newest first; revoked ones too, and never a hash. Raises 42501 without api_keys:read, 22023 for a bad limit or cursor.';

grant execute on function limena.list_api_keys(integer, text) to limena_app;
