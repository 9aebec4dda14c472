-- An Idempotency-Key is one caller's: nobody gets at another's reservation by guessing theirs.
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
    select r.* into v_reservation
    from limena.ai_reservations as r
    where r.tenant_id = p_tenant_id and r.actor_id = p_actor_id and r.idempotency_key = p_idempotency_key;
    if not found then
        return null;
    end if;
    if (v_reservation.model, v_reservation.estimated_tokens) <> (p_model, p_estimated_tokens) then
        raise exception 'was used for another call' using errcode = '22023', column = 'idempotency_key';
    end if;
    return limena_private.ai_answer(v_reservation);
end;
$$;

comment on function limena_private.retried_ai_reservation(uuid, uuid, text, text, integer) is
'The answer that a retry gets, or NULL when the key is new. Raises 22023 when it was used for another call.';
