-- An owner ends a velocity trip, and the count of the hour begins anew. A ceiling trip is the platform's to reset.
-- Where nothing has tripped there is nothing to reset, and nothing is counted anew.
--
-- SECURITY DEFINER because limena_app may write no counter: with SQL of its own it would set them back.
create or replace function limena.reset_ai_quota()
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid;
    v_quota limena.ai_quotas;
begin
    perform limena.require('tenant:own');
    v_tenant_id := limena.tenant_with('tenant:own');

    v_quota := limena_private.lock_ai_quota(v_tenant_id);
    if v_quota.trip_cause = 'ceiling' then
        raise exception 'permission denied' using errcode = '42501';
    end if;
    if v_quota.trip_cause is not null then
        v_quota := limena_private.end_ai_trip(v_quota, 'manual');
        v_quota.calls := array_fill(0, array[61]);
        v_quota.recent_calls := 0;
    end if;
    perform limena_private.save_ai_quota(v_quota);
    return limena.describe_ai_quota(v_tenant_id);
end;
$$;

comment on function limena.reset_ai_quota() is
'Ends a pause for velocity of the current tenant, and returns the quota. Raises 42501 without tenant:own, and while the month''s ceiling is reached.';

grant execute on function limena.reset_ai_quota() to limena_app;
