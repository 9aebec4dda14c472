-- The first of two steps: the tenant is frozen for everybody in it, and erased 30 days later by erase_tenants(), unless
-- an owner restores it. Its name is asked for, so that nobody deletes the one that they did not mean.
--
-- SECURITY DEFINER because limena_app may not change a tenant's state.
create or replace function limena.delete_tenant(p_name text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('tenant:own');
    v_due_at timestamptz;
begin
    perform limena_private.lock_own_tenant(v_tenant_id, 'tenant:own');

    update limena.tenants as t
    set state = 'deleting', deletion_due_at = clock_timestamp() + interval '30 days'
    where t.id = v_tenant_id and t.name = p_name
    returning t.deletion_due_at into v_due_at;
    if not found then
        raise exception 'must be the tenant''s name, as it is written' using errcode = '22023', column = 'name';
    end if;
    perform limena_private.record_event(
        p_tenant_id => v_tenant_id,
        p_action => 'tenant.deletion_requested',
        p_entity_type => 'tenant',
        p_entity_id => v_tenant_id::text,
        p_details => jsonb_build_object('due_at', v_due_at)
    );
    return limena.describe_tenant();
end;
$$;

comment on function limena.delete_tenant(text) is
'Deletes the current tenant: from now on it can be read and not changed, and in 30 days it is erased, unless it is restored. Raises 42501 without tenant:own, 22023 unless p_name is its name, LM001 when it is frozen or deleted already.';

grant execute on function limena.delete_tenant(text) to limena_app;
