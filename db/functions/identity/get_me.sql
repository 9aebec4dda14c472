create or replace function limena.get_me()
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena.current_context();
    v_actor jsonb;
    v_tenant jsonb;
begin
    if v_context is null then
        raise exception 'permission denied' using errcode = '42501';
    end if;

    if v_context ->> 'actor_type' = 'api_key' then
        -- Out of the context: a key without api_keys:read does not see its own row.
        v_actor := jsonb_build_object(
            'api_key',
            jsonb_build_object('id', v_context -> 'actor_id', 'name', v_context -> 'key_name', 'prefix', v_context -> 'key_prefix')
        );
    else
        select jsonb_build_object('user', jsonb_build_object('id', u.id, 'email', u.email, 'display_name', u.display_name)) into strict v_actor
        from limena.find_people(array[limena.current_user_id()]) as u;
        v_actor := v_actor || jsonb_build_object('is_platform_admin', limena.is_platform_admin());
    end if;

    select jsonb_build_object('id', t.id, 'name', t.name, 'state', t.state) into v_tenant
    from limena.tenants as t
    where t.id = (select limena.current_tenant_id());

    return v_actor || jsonb_build_object(
        'tenant', v_tenant,
        'role', v_context -> 'role',
        'permissions', v_context -> 'permissions',
        'notices', limena.notices()
    );
end;
$$;

comment on function limena.get_me() is
'Who the caller is, in which tenant, and what they may do there. tenant and role are null for a person in no tenant. Raises 42501 without a context.';

grant execute on function limena.get_me() to limena_app;
