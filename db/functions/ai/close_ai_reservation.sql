-- Takes a reservation out of the reserved tokens, if it is still among them, and adds what was used: in the month in
-- which it was made. The quota's row is the caller's (lock_ai_quota); a closed month changes under the same lock.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.close_ai_reservation(
    p_quota limena.ai_quotas,
    p_reservation limena.ai_reservations,
    p_state text,
    p_tokens bigint
)
returns limena.ai_quotas
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_month timestamp := date_trunc('month', p_reservation.created_at at time zone 'UTC');
    v_given_back bigint := case when p_reservation.state = 'live' then p_reservation.estimated_tokens else 0 end;
begin
    update limena.ai_reservations as r
    set state = p_state, closed_at = p_quota.as_of
    where r.tenant_id = p_reservation.tenant_id and r.id = p_reservation.id;

    if v_month = date_trunc('month', p_quota.as_of at time zone 'UTC') then
        p_quota.reserved_tokens := p_quota.reserved_tokens - v_given_back;
        p_quota.used_tokens := p_quota.used_tokens + p_tokens;
    else
        update limena.ai_quota_months as m
        set reserved_tokens = m.reserved_tokens - v_given_back, used_tokens = m.used_tokens + p_tokens
        where m.tenant_id = p_reservation.tenant_id and m.month = v_month::date;
    end if;
    return p_quota;
end;
$$;

comment on function limena_private.close_ai_reservation(limena.ai_quotas, limena.ai_reservations, text, bigint) is
'Closes a reservation (as settled or released), counts the tokens in its month, and returns the quota as it is then.';
