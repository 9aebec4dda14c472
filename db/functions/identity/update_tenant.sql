-- SECURITY DEFINER because limena_app may not update tenants: whoever may can hold the lock that freezing, and every
-- change of members, waits for.
create or replace function limena.update_tenant(p_name text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('tenant:write');
    v_tenant jsonb;
begin
    perform limena_private.lock_own_tenant(v_tenant_id, 'tenant:write');
    update limena.tenants as t
    set name = p_name
    where t.id = v_tenant_id
    returning jsonb_build_object(
        'id', t.id,
        'name', t.name,
        'state', t.state,
        'created_at', t.created_at,
        'deletion_due_at', t.deletion_due_at
    )
    into v_tenant;
    return v_tenant;
exception
    -- By the name that the field has here: at a registration it is tenant_name.
    when check_violation then
        raise exception 'must have 1 to 100 characters, no space at its ends and no control characters' using
            errcode = '22023', column = 'name';
end;
$$;

comment on function limena.update_tenant(text) is
'Renames the current tenant. Raises 42501 without tenant:write, LM001 when it is frozen, 22023 or 23502 for a bad name.';

grant execute on function limena.update_tenant(text) to limena_app;
