-- The way back, within the 30 days. The tenant is frozen meanwhile, so this is one of the few things that ask for what
-- is withheld. A tenant that the platform froze is not restored by its owner.
--
-- SECURITY DEFINER because limena_app may not change a tenant's state.
create or replace function limena.restore_tenant()
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_even_frozen('tenant:own');
begin
    perform limena.require_even_frozen('tenant:own');
    perform from limena.tenants as t where t.id = v_tenant_id for no key update;
    perform limena_private.prove_again();
    perform limena.require_even_frozen('tenant:own');
    update limena.tenants as t
    set state = 'active', deletion_due_at = null
    where t.id = v_tenant_id and t.state = 'deleting';
    if not found then
        raise exception 'The tenant is not deleted.' using errcode = 'LM002';
    end if;
    perform limena_private.record_event(
        p_tenant_id => v_tenant_id, p_action => 'tenant.restored', p_entity_type => 'tenant', p_entity_id => v_tenant_id::text
    );
    return limena.describe_tenant();
end;
$$;

comment on function limena.restore_tenant() is
'Takes the deletion of the current tenant back. Raises 42501 without tenant:own, LM002 when it is not deleted.';

grant execute on function limena.restore_tenant() to limena_app;
