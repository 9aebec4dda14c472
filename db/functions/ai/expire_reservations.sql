-- What has to happen although nobody calls: reservations that are overdue expire, trips that are over end, months that
-- have passed are closed. Tenant by tenant under the tenant's own lock, skipping those whose row is taken: whoever has
-- it does the same. At most p_limit tenants a run, so that no run holds many locks for long.
--
-- SECURITY DEFINER because no role may write a counter. For limena_maintenance alone.
create or replace function limena.expire_reservations(p_limit integer default 100)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid;
    v_count integer := 0;
begin
    if p_limit is null or p_limit not between 1 and 1000 then
        raise exception 'must be from 1 to 1000' using errcode = '22023', column = 'limit';
    end if;
    for v_tenant_id in
        select q.tenant_id
        from limena.ai_quotas as q
        where q.expires_at <= limena.ai_clock()
            or q.trip_ends_at <= limena.ai_clock()
            or q.as_of < date_trunc('month', limena.ai_clock() at time zone 'UTC') at time zone 'UTC'
        order by q.tenant_id
        limit p_limit
    loop
        perform from limena.ai_quotas as q where q.tenant_id = v_tenant_id for update skip locked;
        continue when not found;
        perform limena_private.save_ai_quota(limena_private.lock_ai_quota(v_tenant_id));
        v_count := v_count + 1;
    end loop;
    return v_count;
end;
$$;

comment on function limena.expire_reservations(integer) is
'Brings the quotas of up to p_limit tenants up to date: expires reservations, ends trips, closes months; returns of how many. Raises 22023 unless p_limit is from 1 to 1000.';

grant execute on function limena.expire_reservations(integer) to limena_maintenance;
