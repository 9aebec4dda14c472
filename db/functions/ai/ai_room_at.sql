-- When a call that does not fit by p_missing tokens would, if nobody else came: reservations give back what they hold
-- when they expire, the first ones first, and the month's end gives back everything. Of very many reservations only the
-- first thousand are added up: the last one's time is true as well.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.ai_room_at(p_quota limena.ai_quotas, p_missing bigint)
returns timestamptz
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_month timestamp := date_trunc('month', p_quota.as_of at time zone 'UTC');
    v_month_ends_at timestamptz := (v_month + interval '1 month') at time zone 'UTC';
begin
    if p_missing > p_quota.reserved_tokens then
        return v_month_ends_at;
    end if;
    return least(v_month_ends_at, coalesce(
        (
            select min(e.expires_at)
            from (
                select f.expires_at, sum(f.estimated_tokens) over (order by f.expires_at) as given_back
                from (
                    select r.expires_at, r.estimated_tokens
                    from limena.ai_reservations as r
                    where r.tenant_id = p_quota.tenant_id
                        and r.state = 'live'
                        and r.created_at >= v_month at time zone 'UTC'
                    order by r.expires_at
                    limit 1000
                ) as f
            ) as e
            where e.given_back >= p_missing
        ),
        (
            select max(r.expires_at)
            from limena.ai_reservations as r
            where r.tenant_id = p_quota.tenant_id and r.state = 'live'
        )
    ));
end;
$$;

comment on function limena_private.ai_room_at(limena.ai_quotas, bigint) is
'When live reservations that expire, or the month''s end, will have given back p_missing tokens.';
