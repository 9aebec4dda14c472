-- One row a call in ai_usage_logs, and the same in the day's sums. A settlement that comes after the reservation has
-- expired or was released replaces what was noted then: the call counts once.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, under the lock of lock_ai_quota().
create or replace function limena_private.record_ai_usage(
    p_reservation limena.ai_reservations,
    p_outcome text,
    p_recorded_at timestamptz,
    p_prompt_tokens integer default 0,
    p_completion_tokens integer default 0,
    p_latency_ms integer default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_day date := (p_reservation.created_at at time zone 'UTC')::date;
    v_model text;
begin
    if p_reservation.state in ('expired', 'released') then
        v_model := limena_private.summed_model(
            p_reservation.tenant_id, v_day, p_reservation.actor_type, p_reservation.actor_id, p_reservation.model,
            p_reservation.state
        );
        update limena.ai_usage_days as d
        set calls = d.calls - 1
        where d.tenant_id = p_reservation.tenant_id
            and d.day = v_day
            and d.actor_type = p_reservation.actor_type
            and d.actor_id = p_reservation.actor_id
            and d.model = v_model
            and d.outcome = p_reservation.state;
    end if;

    insert into limena.ai_usage_logs as l (
        tenant_id, occurred_at, id, actor_type, actor_id, model, outcome, prompt_tokens, completion_tokens, latency_ms,
        recorded_at, recorded_by
    )
    values (
        p_reservation.tenant_id, p_reservation.created_at, p_reservation.id, p_reservation.actor_type,
        p_reservation.actor_id, p_reservation.model, p_outcome, p_prompt_tokens, p_completion_tokens, p_latency_ms,
        p_recorded_at, (limena_private.verified_context()::jsonb ->> 'actor_id')::uuid
    )
    on conflict (tenant_id, occurred_at, id) do update
    set
        outcome = excluded.outcome,
        prompt_tokens = excluded.prompt_tokens,
        completion_tokens = excluded.completion_tokens,
        latency_ms = excluded.latency_ms,
        recorded_at = excluded.recorded_at,
        recorded_by = excluded.recorded_by;

    v_model := limena_private.summed_model(
        p_reservation.tenant_id, v_day, p_reservation.actor_type, p_reservation.actor_id, p_reservation.model, p_outcome
    );
    insert into limena.ai_usage_days as d (
        tenant_id, day, actor_type, actor_id, model, outcome, calls, prompt_tokens, completion_tokens, latency_ms
    )
    values (
        p_reservation.tenant_id, v_day, p_reservation.actor_type, p_reservation.actor_id, v_model, p_outcome, 1,
        p_prompt_tokens, p_completion_tokens, coalesce(p_latency_ms, 0)
    )
    on conflict (tenant_id, day, actor_type, actor_id, model, outcome) do update
    set
        calls = d.calls + 1,
        prompt_tokens = d.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = d.completion_tokens + excluded.completion_tokens,
        latency_ms = d.latency_ms + excluded.latency_ms;
end;
$$;

comment on function limena_private.record_ai_usage(
    limena.ai_reservations, text, timestamptz, integer, integer, integer
) is
'Writes down how a call ended, in the detail and in the day''s sums. p_reservation: as it was before it was closed.';
