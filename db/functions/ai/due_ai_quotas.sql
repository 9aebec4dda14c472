-- SECURITY DEFINER because no role may read across tenants. For limena_maintenance alone: it tells ids.
create or replace function limena.due_ai_quotas(p_limit integer default 1000)
returns setof uuid
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_month timestamptz := date_trunc('month', limena.ai_clock() at time zone 'UTC') at time zone 'UTC';
begin
    if p_limit is null or p_limit not between 1 and 10000 then
        raise exception 'must be from 1 to 10000' using errcode = '22023', column = 'limit';
    end if;
    return query
    select q.tenant_id
    from limena.ai_quotas as q
    where q.expires_at <= limena.ai_clock() or q.trip_ends_at <= limena.ai_clock() or q.as_of < v_month
    order by least(q.expires_at, q.trip_ends_at, case when q.as_of < v_month then v_month end)
    limit p_limit;
end;
$$;

comment on function limena.due_ai_quotas(integer) is
'The tenants for which expire_reservations() has something to do, at most p_limit, the longest overdue first. Raises 22023 unless p_limit is from 1 to 10000.';

grant execute on function limena.due_ai_quotas(integer) to limena_maintenance;
