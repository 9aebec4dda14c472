-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.end_ai_trip(p_quota limena.ai_quotas, p_by text, p_reason text default null)
returns limena.ai_quotas
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_previous text[];
begin
    if p_by = 'time' then
        v_previous := limena_private.seal_for_system(p_quota.tenant_id);
    end if;
    perform limena_private.record_event(
        p_tenant_id => p_quota.tenant_id,
        p_action => 'ai_quota.reset',
        p_entity_type => 'ai_quota',
        p_entity_id => p_quota.tenant_id::text,
        p_details => jsonb_strip_nulls(jsonb_build_object('cause', p_quota.trip_cause, 'by', p_by, 'reason', p_reason))
    );
    perform limena_private.seal_again(v_previous);
    p_quota.trip_cause := null;
    p_quota.tripped_at := null;
    p_quota.trip_ends_at := null;
    return p_quota;
end;
$$;

comment on function limena_private.end_ai_trip(limena.ai_quotas, text, text) is
'Ends a trip and records it (p_by: manual, limits or time); returns the quota as it is then.';
