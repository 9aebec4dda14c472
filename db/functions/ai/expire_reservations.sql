-- What has to happen although nobody calls: reservations that are overdue expire, a trip that is over ends, a month
-- that has passed is closed. For one tenant, so that no transaction has two tenants' rows; whoever has the row does
-- the same, and is not waited for.
--
-- SECURITY DEFINER because no role may write a counter. For limena_maintenance alone.
create or replace function limena.expire_reservations(p_tenant_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_quota limena.ai_quotas;
begin
    perform from limena.ai_quotas as q where q.tenant_id = p_tenant_id for update skip locked;
    if not found then
        return false;
    end if;
    v_quota := limena_private.lock_ai_quota(p_tenant_id);
    perform limena_private.save_ai_quota(v_quota);
    return coalesce(v_quota.expires_at <= v_quota.as_of, false);
end;
$$;

comment on function limena.expire_reservations(uuid) is
'Brings a tenant''s AI quota up to date, unless somebody else has it: expires reservations, at most 500, ends a trip, closes a month. Returns whether more are overdue.';

grant execute on function limena.expire_reservations(uuid) to limena_maintenance;
