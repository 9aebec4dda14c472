-- For update_ai_settings and administer_tenant, which have asked for the permission. Under the quota's lock, so that no
-- reservation that began with the old limit ends after the new one is there. A limit that is raised so far that the
-- trip's cause is gone ends the trip.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.change_ai_settings(
    p_tenant_id uuid,
    p_is_enabled boolean default null,
    p_is_allowed boolean default null,
    p_max_calls_per_hour integer default null,
    p_max_tokens_per_month bigint default null,
    p_calls_per_hour integer default null,
    p_tokens_per_month bigint default null,
    p_reason text default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_quota limena.ai_quotas := limena_private.lock_ai_quota(p_tenant_id);
    v_limits limena.ai_limits;
begin
    select l.* into strict v_limits from limena.ai_limits as l where l.tenant_id = p_tenant_id;
    if p_calls_per_hour not between 1 and coalesce(p_max_calls_per_hour, v_limits.max_calls_per_hour) then
        raise exception 'must be from 1 to %', v_limits.max_calls_per_hour using errcode = '22023', column = 'calls_per_hour';
    end if;
    if p_tokens_per_month not between 1 and coalesce(p_max_tokens_per_month, v_limits.max_tokens_per_month) then
        raise exception 'must be from 1 to %', v_limits.max_tokens_per_month using errcode = '22023', column = 'tokens_per_month';
    end if;
    insert into limena.ai_settings as s (tenant_id) values (p_tenant_id) on conflict do nothing;
    update limena.ai_settings as s
    set
        is_enabled = coalesce(p_is_enabled, s.is_enabled),
        is_allowed = coalesce(p_is_allowed, s.is_allowed),
        max_calls_per_hour = coalesce(p_max_calls_per_hour, s.max_calls_per_hour),
        max_tokens_per_month = coalesce(p_max_tokens_per_month, s.max_tokens_per_month),
        -- A limit that is the platform's is none of one's own: it rises with the platform's.
        calls_per_hour = nullif(coalesce(p_calls_per_hour, s.calls_per_hour), s.max_calls_per_hour),
        tokens_per_month = nullif(coalesce(p_tokens_per_month, s.tokens_per_month), s.max_tokens_per_month)
    where s.tenant_id = p_tenant_id;

    select l.* into strict v_limits from limena.ai_limits as l where l.tenant_id = p_tenant_id;
    if v_quota.trip_cause = 'ceiling'
        and v_quota.used_tokens - v_quota.written_off_tokens < v_limits.tokens_per_month * 0.95
        and coalesce(p_tokens_per_month, p_max_tokens_per_month) is not null
        or v_quota.trip_cause = 'velocity'
        and v_quota.recent_calls <= v_limits.calls_per_hour - ceil(v_limits.calls_per_hour / 10.0)
        and coalesce(p_calls_per_hour, p_max_calls_per_hour) is not null then
        v_quota := limena_private.end_ai_trip(v_quota, 'limits', p_reason);
    end if;
    perform limena_private.save_ai_quota(v_quota);
end;
$$;

comment on function limena_private.change_ai_settings(
    uuid, boolean, boolean, integer, bigint, integer, bigint, text
) is
'Changes what is not NULL of a tenant''s AI settings, at once. Raises 22023 for a limit of the owner''s above the platform''s.';
