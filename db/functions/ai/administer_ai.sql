-- The platform's switch, limits and reset. A reset ends either trip. What is exact is exact between resets: after one
-- for velocity the hour's count begins anew, after one for the ceiling the month's; what was used stays in the sums.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, and after they have asked who calls.
create or replace function limena_private.administer_ai(
    p_tenant_id uuid,
    p_reason text,
    p_is_allowed boolean default null,
    p_calls_per_hour integer default null,
    p_tokens_per_month bigint default null,
    p_resets boolean default false
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_previous text[];
    v_quota limena.ai_quotas;
begin
    if p_calls_per_hour not between 1 and 1000000 then
        raise exception 'must be from 1 to 1000000' using errcode = '22023', column = 'calls_per_hour';
    end if;
    if p_tokens_per_month not between 1 and 1000000000000000 then
        raise exception 'must be from 1 to 1000000000000000' using errcode = '22023', column = 'tokens_per_month';
    end if;
    if not exists (
        select from limena.tenants as t
        where t.id = p_tenant_id and t.id <> limena_private.platform_tenant_id() and t.state <> 'deleted'
    ) then
        raise exception 'no such tenant' using errcode = 'P0002';
    end if;

    v_previous := limena_private.seal_for_platform(p_tenant_id);
    if p_resets then
        v_quota := limena_private.lock_ai_quota(p_tenant_id);
        if v_quota.trip_cause = 'velocity' then
            v_quota.calls := array_fill(0, array[61]);
            v_quota.recent_calls := 0;
        elsif v_quota.trip_cause = 'ceiling' then
            v_quota.written_off_tokens := v_quota.used_tokens;
        end if;
        v_quota := limena_private.end_ai_trip(v_quota, 'manual', p_reason);
        perform limena_private.save_ai_quota(v_quota);
    else
        perform limena_private.change_ai_settings(
            p_tenant_id => p_tenant_id,
            p_is_allowed => p_is_allowed,
            p_max_calls_per_hour => p_calls_per_hour,
            p_max_tokens_per_month => p_tokens_per_month,
            p_reason => p_reason
        );
        perform limena_private.record_event(
            p_tenant_id => p_tenant_id,
            p_action => 'ai_settings.administered',
            p_entity_type => 'ai_settings',
            p_entity_id => p_tenant_id::text,
            p_details => jsonb_build_object('reason', p_reason)
        );
    end if;
    perform limena_private.seal_again(v_previous);
end;
$$;

comment on function limena_private.administer_ai(uuid, text, boolean, integer, bigint, boolean) is
'Sets a tenant''s AI switch or limits of the platform, or ends its trip, and records why in its log. Raises P0002 when there is no such tenant, 22023 for a bad value.';
