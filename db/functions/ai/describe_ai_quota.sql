-- Called by whoever changed the quota, too, as limena_owner. As limena_app it shows what row-level security lets
-- through.
create or replace function limena.describe_ai_quota(p_tenant_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_quota limena.ai_quota_states;
    v_calls bigint;
    v_newest integer;
begin
    select s.* into v_quota
    from limena.ai_quota_states as s
    where s.tenant_id = p_tenant_id;
    if not found then
        return null;
    end if;
    select sum(c.calls), min(c.place) filter (where c.calls > 0) into v_calls, v_newest
    from unnest(v_quota.calls) with ordinality as c (calls, place);

    return jsonb_build_object(
        'state', case
            when not (v_quota.is_enabled and v_quota.is_allowed) then 'disabled'
            when v_quota.trip_cause is not null then 'tripped'
            else 'active'
        end,
        'calls', jsonb_build_object(
            'limit', v_quota.calls_per_hour,
            'used', v_calls,
            'remaining', greatest(0, v_quota.calls_per_hour - v_calls),
            'resets_at', case
                when v_quota.trip_cause = 'velocity' then v_quota.trip_ends_at
                else date_trunc('minute', v_quota.as_of, 'UTC') + make_interval(mins => 62 - v_newest)
            end
        ),
        'tokens', jsonb_build_object(
            'limit', v_quota.tokens_per_month,
            'used', v_quota.used_tokens,
            'reserved', v_quota.reserved_tokens,
            'remaining', greatest(0, v_quota.tokens_per_month - v_quota.used_tokens - v_quota.reserved_tokens),
            'resets_at', v_quota.month_ends_at
        ),
        'trip', case when v_quota.trip_cause is not null then jsonb_build_object(
            'cause', v_quota.trip_cause, 'tripped_at', v_quota.tripped_at, 'ends_at', v_quota.trip_ends_at
        ) end,
        'settings', jsonb_build_object(
            'is_enabled', v_quota.is_enabled,
            'is_allowed', v_quota.is_allowed,
            'max_calls_per_hour', v_quota.max_calls_per_hour,
            'max_tokens_per_month', v_quota.max_tokens_per_month
        ),
        'notices', limena.ai_notices()
    );
end;
$$;

comment on function limena.describe_ai_quota(uuid) is
'{state, calls, tokens, trip, settings, notices} of a tenant''s AI quota, as get_ai_quota() returns it.';

grant execute on function limena.describe_ai_quota(uuid) to limena_app;
