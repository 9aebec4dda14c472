-- A denial raises, and so loses what its transaction wrote. The API calls this afterwards, in a transaction of its own
-- that enters the same context anew.
--
-- What an attacker would try: write into another tenant's log (the tenant is the context's), or write of what never was
-- (the permission must exist and be missing, the route looks like one).
--
-- SECURITY DEFINER because no role of the API may insert into audit_logs.
create or replace function limena.record_denial(p_permission text, p_route text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
begin
    if v_context is null then
        raise exception 'there is no context to record a denial in' using errcode = '42501';
    end if;
    if not exists (select from limena.permissions as p where p.name = p_permission) then
        raise exception 'no such permission' using errcode = '22023', column = 'permission';
    end if;
    if (v_context -> 'permissions') ? p_permission then
        raise exception 'is not missing' using errcode = '22023', column = 'permission';
    end if;
    if p_route is null or p_route !~ '^[A-Z]{3,10} /[A-Za-z0-9_/{}.-]{0,200}$' then
        raise exception 'is no route' using errcode = '22023', column = 'route';
    end if;

    perform limena_private.record_event(
        p_tenant_id => (v_context ->> 'tenant_id')::uuid,
        p_action => 'access.denied',
        p_details => jsonb_build_object('permission', p_permission, 'route', p_route)
            || case when (v_context -> 'withheld') ? p_permission then '{"reason": "tenant_frozen"}' else '{}' end::jsonb
    );
end;
$$;

comment on function limena.record_denial(text, text) is
'Records in the current tenant''s audit log (in no tenant: the platform''s) that a permission was missing. p_route: method and path template. Raises 42501 without a context, 22023 for a permission that does not exist or is not missing.';

grant execute on function limena.record_denial(text, text) to limena_app;
