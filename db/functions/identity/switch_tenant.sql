-- Where the session's next access tokens lead. The foreign key to memberships decides: another tenant, one that is gone
-- and one that never was get the same answer.
create or replace function limena.switch_tenant(p_tenant_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if limena.current_session_id() is null then
        raise exception 'permission denied' using errcode = '42501';
    end if;
    if p_tenant_id is null then
        raise exception 'is needed' using errcode = '22023', column = 'tenant_id';
    end if;

    update limena.sessions as s
    set current_tenant_id = p_tenant_id
    where s.id = (select limena.current_session_id());
    return jsonb_build_object('tenant_id', p_tenant_id);
exception
    when foreign_key_violation then
        raise exception 'no such tenant' using errcode = 'P0002';
end;
$$;

comment on function limena.switch_tenant(uuid) is
'Moves the session that calls to another tenant of the person. Raises 42501 without a session, P0002 when the person is no member of the tenant.';

grant execute on function limena.switch_tenant(uuid) to limena_app;
