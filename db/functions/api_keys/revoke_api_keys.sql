-- What a platform admin does to a tenant whose keys leaked.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, and after they have asked who calls.
create or replace function limena_private.revoke_api_keys(p_tenant_id uuid, p_reason text)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_previous text[];
    v_count integer;
begin
    if not limena_private.is_reason(p_reason, 1) then
        raise exception 'must say why, in 1 to 500 characters' using errcode = '22023', column = 'reason';
    end if;
    if not exists (
        select from limena.tenants as t
        where t.id = p_tenant_id and t.id <> limena_private.platform_tenant_id() and t.state <> 'deleted'
    ) then
        raise exception 'no such tenant' using errcode = 'P0002';
    end if;

    v_previous := limena_private.seal_for_platform(p_tenant_id);
    v_count := limena_private.end_api_keys(p_tenant_id);
    perform limena_private.record_event(
        p_tenant_id => p_tenant_id,
        p_action => 'tenant.api_keys_revoked',
        p_entity_type => 'tenant',
        p_entity_id => p_tenant_id::text,
        p_details => jsonb_build_object('reason', p_reason, 'revoked', v_count)
    );
    perform limena_private.seal_again(v_previous);
    return v_count;
end;
$$;

comment on function limena_private.revoke_api_keys(uuid, text) is
'Revokes every API key of a tenant, and records why in its log; returns how many. Raises P0002 when there is no such tenant, 22023 without a reason.';
