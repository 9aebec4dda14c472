-- An Idempotency-Key is one caller's: nobody gets at another's reservation by guessing theirs. Whoever retries goes on
-- to make the call, so a reservation that is over is no answer.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.retried_ai_reservation(
    p_tenant_id uuid,
    p_actor_id uuid,
    p_idempotency_key text,
    p_model text,
    p_estimated_tokens integer
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_reservation limena.ai_reservations;
begin
    if p_idempotency_key is null then
        return null;
    end if;
    select r.* into v_reservation
    from limena.ai_reservations as r
    where r.tenant_id = p_tenant_id and r.actor_id = p_actor_id and r.idempotency_key = p_idempotency_key;
    if not found then
        return null;
    end if;
    if (v_reservation.model, v_reservation.estimated_tokens) <> (p_model, p_estimated_tokens) then
        raise exception 'was used for another call' using errcode = '22023', column = 'idempotency_key';
    end if;
    if v_reservation.state <> 'live' or v_reservation.expires_at <= limena.ai_clock() then
        raise exception 'The reservation of this Idempotency-Key is %.',
            case v_reservation.state when 'live' then 'expired' else v_reservation.state end
            using errcode = 'LM002';
    end if;
    return limena_private.ai_answer(v_reservation);
end;
$$;

comment on function limena_private.retried_ai_reservation(uuid, uuid, text, text, integer) is
'The answer that a retry gets, or NULL when the key is new or there is none. Raises 22023 when it was used for another call, LM002 when the reservation is live no more.';
