-- Whoever changes who belongs to a tenant, or what becomes of it, does so one after the other. FOR NO KEY UPDATE: rows
-- that refer to the tenant are inserted meanwhile.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.lock_tenant(p_tenant_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state text;
begin
    select t.state into v_state from limena.tenants as t where t.id = p_tenant_id for no key update;
    if not found or v_state = 'deleted' then
        raise exception 'no such tenant' using errcode = 'P0002';
    end if;
    if v_state <> 'active' then
        raise exception 'the tenant is frozen' using errcode = 'LM001';
    end if;
end;
$$;

comment on function limena_private.lock_tenant(uuid) is
'Locks a tenant''s row to the end of the transaction. Raises LM001 unless the tenant is active, P0002 when there is none.';
