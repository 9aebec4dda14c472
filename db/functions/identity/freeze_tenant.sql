-- A frozen tenant can be read and not changed: enter_… withholds what changes something from the next request on. One
-- that its owner has deleted is frozen too, and stays: a freeze suspends the deletion, for whoever must look into a
-- tenant must not find it gone; its day is kept, and unfreeze_tenant() goes back to it.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, and after they have asked who calls.
create or replace function limena_private.freeze_tenant(p_tenant_id uuid, p_reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_previous text[];
begin
    if not limena_private.is_reason(p_reason, 1) then
        raise exception 'must say why, in 1 to 500 characters' using errcode = '22023', column = 'reason';
    end if;
    v_previous := limena_private.seal_for_platform(p_tenant_id);
    update limena.tenants as t
    set state = 'frozen'
    where t.id = p_tenant_id and t.id <> limena_private.platform_tenant_id() and t.state in ('active', 'deleting');
    if found then
        perform limena_private.record_event(
            p_tenant_id => p_tenant_id,
            p_action => 'tenant.frozen',
            p_entity_type => 'tenant',
            p_entity_id => p_tenant_id::text,
            p_details => jsonb_build_object('reason', p_reason)
        );
    elsif not exists (select from limena.tenants as t where t.id = p_tenant_id and t.state = 'frozen') then
        raise exception 'no such tenant' using errcode = 'P0002';
    end if;
    perform limena_private.seal_again(v_previous);
end;
$$;

comment on function limena_private.freeze_tenant(uuid, text) is
'Freezes a tenant, and records why in its log; freezing twice is not an error. Raises P0002 when there is none or it was deleted, 22023 without a reason.';
