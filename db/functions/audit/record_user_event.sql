-- A person's own event, in the log of each of their tenants; of a person in none, in the platform's.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.record_user_event(
    p_user_id uuid,
    p_action text,
    p_entity_type text default null,
    p_entity_id text default null,
    p_details jsonb default '{}'
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_ids uuid[] := array(select m.tenant_id from limena.memberships as m where m.user_id = p_user_id);
begin
    perform limena_private.record_event(
        p_tenant_id => t.id,
        p_action => p_action,
        p_entity_type => p_entity_type,
        p_entity_id => p_entity_id,
        p_details => p_details
    )
    from unnest(case when cardinality(v_tenant_ids) > 0 then v_tenant_ids else array[null::uuid] end) as t (id);
end;
$$;

comment on function limena_private.record_user_event(uuid, text, text, text, jsonb) is
'Writes an event of a person to the audit log of each of their tenants, or of the platform.';
