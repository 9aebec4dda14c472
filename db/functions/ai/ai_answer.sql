-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.ai_answer(p_reservation limena.ai_reservations)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object(
        'id', p_reservation.id,
        'state', p_reservation.state,
        'expires_at', p_reservation.expires_at,
        'remaining_tokens', greatest(0, s.tokens_per_month - s.used_tokens - s.reserved_tokens),
        'remaining_calls', greatest(0, s.calls_per_hour - (select sum(c.calls) from unnest(s.calls) as c (calls)))
    )
    from limena.ai_quota_states as s
    where s.tenant_id = p_reservation.tenant_id;
end;
$$;

comment on function limena_private.ai_answer(limena.ai_reservations) is
'{id, state, expires_at, remaining_tokens, remaining_calls} of a reservation, as things are now.';
