-- A frozen tenant can be read and not changed: enter_… withholds what changes something from the next request on. One
-- that its owner has deleted is frozen too, and stays: a freeze stops the deletion, for whoever must look into a tenant
-- must not find it gone.
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
    if coalesce(btrim(p_reason), '') = '' or char_length(p_reason) > 500 then
        raise exception 'must have 1 to 500 characters' using errcode = '22023', column = 'reason';
    end if;
    v_previous := limena_private.seal_for_platform(p_tenant_id);
    update limena.tenants as t
    set state = 'frozen', deletion_due_at = null
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
