-- For the worker: one tenant a call, so that no transaction erases more than one. Two workers never take the same.
--
-- SECURITY DEFINER because no role may delete. For limena_maintenance alone. It takes no argument: what is due is what
-- an owner deleted 30 days ago.
create or replace function limena.erase_tenants()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid;
begin
    select t.id into v_tenant_id
    from limena.tenants as t
    where t.state = 'deleting' and t.deletion_due_at <= clock_timestamp()
    order by t.deletion_due_at
    limit 1
    for update skip locked;
    if not found then
        return 0;
    end if;
    perform limena_private.erase_tenant(v_tenant_id);
    perform limena_private.record_event(
        p_tenant_id => v_tenant_id, p_action => 'tenant.erased', p_entity_type => 'tenant', p_entity_id => v_tenant_id::text
    );
    return 1;
end;
$$;

comment on function limena.erase_tenants() is 'Erases one tenant whose deletion is due; returns how many. 0: nothing is left to do.';

grant execute on function limena.erase_tenants() to limena_maintenance;
