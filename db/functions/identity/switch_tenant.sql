-- Where the session's next access tokens lead. Another tenant, one that is deleted and one that never was get the same
-- answer.
--
-- SECURITY DEFINER because no policy shows anyone the tenants and memberships of their own in other tenants than the
-- one they are in. All that it touches is the person's own, whom the sealed context names.
create or replace function limena.switch_tenant(p_tenant_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := limena.current_session_user_id();
begin
    if v_user_id is null then
        raise exception 'permission denied' using errcode = '42501';
    end if;
    if p_tenant_id is null then
        raise exception 'is needed' using errcode = '22023', column = 'tenant_id';
    end if;

    -- A membership that goes this very moment takes the session's tenant with it (sessions_current_tenant_id_fkey).
    perform from limena.memberships as m
    inner join limena.tenants as t on m.tenant_id = t.id and t.state <> 'deleted'
    where m.tenant_id = p_tenant_id and m.user_id = v_user_id;
    if not found then
        raise exception 'no such tenant' using errcode = 'P0002';
    end if;
    update limena.sessions as s
    set current_tenant_id = p_tenant_id
    where s.id = limena.current_session_id() and s.ended_at is null;
    return jsonb_build_object('tenant_id', p_tenant_id);
exception
    when foreign_key_violation then
        raise exception 'no such tenant' using errcode = 'P0002';
end;
$$;

comment on function limena.switch_tenant(uuid) is
'Moves the session that calls to another tenant of the person. Raises 42501 without a session, P0002 when the person is no member of the tenant or it is deleted.';

grant execute on function limena.switch_tenant(uuid) to limena_app;
