-- A tenant that its owner had deleted is deleted again, and its owner has a week at least to restore it, which could
-- not be done meanwhile.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, and after they have asked who calls.
create or replace function limena_private.unfreeze_tenant(p_tenant_id uuid, p_reason text)
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
    set
        state = case when t.deletion_due_at is null then 'active' else 'deleting' end,
        deletion_due_at = case
            when t.deletion_due_at is not null then greatest(t.deletion_due_at, clock_timestamp() + interval '7 days')
        end
    where t.id = p_tenant_id and t.state = 'frozen';
    if found then
        perform limena_private.record_event(
            p_tenant_id => p_tenant_id,
            p_action => 'tenant.unfrozen',
            p_entity_type => 'tenant',
            p_entity_id => p_tenant_id::text,
            p_details => jsonb_build_object('reason', p_reason)
        );
    elsif not exists (
        select from limena.tenants as t
        where t.id = p_tenant_id and t.id <> limena_private.platform_tenant_id() and t.state in ('active', 'deleting')
    ) then
        raise exception 'no such tenant' using errcode = 'P0002';
    end if;
    perform limena_private.seal_again(v_previous);
end;
$$;

comment on function limena_private.unfreeze_tenant(uuid, text) is
'Ends the freezing of a tenant, which is active then, or to be erased where its owner had deleted it, and records why in its log; of one that is not frozen, nothing. Raises P0002 when there is none or it was deleted, 22023 without a reason.';
