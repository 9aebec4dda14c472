-- set_audit_retention() says who may say how long the log is kept. What is NULL stays.
--
-- SECURITY DEFINER because limena_app may not update tenants: whoever may can hold the lock that freezing, and every
-- change of members, waits for.
create or replace function limena.update_tenant(p_name text default null, p_audit_retention_days integer default null)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('tenant:write');
begin
    perform limena_private.lock_own_tenant(v_tenant_id, 'tenant:write');
    if p_audit_retention_days is not null then
        perform limena.set_audit_retention(p_audit_retention_days);
    end if;
    if p_name is not null then
        update limena.tenants as t
        set name = p_name
        where t.id = v_tenant_id;
    end if;
    return limena.describe_tenant();
exception
    -- By the name that the field has here: at a registration it is tenant_name.
    when check_violation then
        raise exception 'must have 1 to 100 characters, no space at its ends and no control characters' using
            errcode = '22023', column = 'name';
end;
$$;

comment on function limena.update_tenant(text, integer) is
'Renames the current tenant, or says how long its audit log is kept (from 30 to 3650 days; that is the owner''s). Raises 42501 without tenant:write, or without tenant:own for the log; LM001 when the tenant is frozen; 22023 for a bad value.';

grant execute on function limena.update_tenant(text, integer) to limena_app;
