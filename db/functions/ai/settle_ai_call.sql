-- What a reserved call took, in full: more than was reserved too, which the next reservation sees. Neither a trip nor a
-- switch stops it, for the call was made. A repetition with the same numbers gets the same answer.
--
-- A key that is rotated leaves its calls to its successor, and ai:write settles any. The call stays that of who
-- reserved it; who settled it is noted (ai_usage_logs.recorded_by). Nobody can take a release back but by telling what
-- was used.
--
-- SECURITY DEFINER because limena_app may write no counter: with SQL of its own it would set them back.
create or replace function limena.settle_ai_call(
    p_id uuid,
    p_prompt_tokens integer,
    p_completion_tokens integer,
    p_latency_ms integer,
    p_outcome text default null
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_quota limena.ai_quotas;
    v_reservation limena.ai_reservations;
    v_tenant_id uuid;
    v_outcome text := coalesce(p_outcome, 'succeeded');
begin
    if p_prompt_tokens is null or p_prompt_tokens not between 0 and 10000000 then
        raise exception 'must be from 0 to 10000000' using errcode = '22023', column = 'prompt_tokens';
    end if;
    if p_completion_tokens is null or p_completion_tokens not between 0 and 10000000 then
        raise exception 'must be from 0 to 10000000' using errcode = '22023', column = 'completion_tokens';
    end if;
    if p_latency_ms is null or p_latency_ms < 0 then
        raise exception 'must not be negative' using errcode = '22023', column = 'latency_ms';
    end if;
    if v_outcome not in ('succeeded', 'failed') then
        raise exception 'must be succeeded or failed' using errcode = '22023', column = 'outcome';
    end if;
    v_tenant_id := (limena_private.own_ai_reservation(p_id)).tenant_id;

    v_quota := limena_private.lock_ai_quota(v_tenant_id);
    select r.* into v_reservation
    from limena.ai_reservations as r
    where r.tenant_id = v_tenant_id and r.id = p_id;
    if not found then
        raise exception 'no such reservation' using errcode = 'P0002';
    end if;
    if v_reservation.state = 'settled' then
        perform
        from limena.ai_usage_logs as l
        where l.tenant_id = v_tenant_id
            and l.occurred_at = v_reservation.created_at
            and l.id = p_id
            and (l.prompt_tokens, l.completion_tokens, l.latency_ms, l.outcome)
            = (p_prompt_tokens, p_completion_tokens, p_latency_ms, v_outcome);
        if not found then
            raise exception 'The reservation was settled with other numbers.' using errcode = 'LM002';
        end if;
    else
        perform limena_private.record_ai_usage(
            p_reservation => v_reservation,
            p_outcome => v_outcome,
            p_recorded_at => v_quota.as_of,
            p_prompt_tokens => p_prompt_tokens,
            p_completion_tokens => p_completion_tokens,
            p_latency_ms => p_latency_ms
        );
        v_quota := limena_private.close_ai_reservation(
            v_quota, v_reservation, 'settled', p_prompt_tokens::bigint + p_completion_tokens
        );
        v_quota := limena_private.warn_ai_quota(
            v_quota, (select l.tokens_per_month from limena.ai_limits as l where l.tenant_id = v_tenant_id)
        );
    end if;
    perform limena_private.save_ai_quota(v_quota);
    return limena_private.ai_answer(v_reservation) - '{expires_at, state}'::text[] || jsonb_build_object(
        'outcome', v_outcome, 'prompt_tokens', p_prompt_tokens, 'completion_tokens', p_completion_tokens
    );
end;
$$;

comment on function limena.settle_ai_call(uuid, integer, integer, integer, text) is
'Records what a reserved call took, also after the reservation has expired or was released, for a week. outcome: succeeded (when it is left out) or failed. Repeating it changes nothing. Raises 42501 without ai:use, and for another caller''s call without ai:write; P0002 when there is no such reservation, LM002 when it was settled otherwise, 22023 for a bad value, 55P03 when others have the tenant''s row for a second.';

grant execute on function limena.settle_ai_call(uuid, integer, integer, integer, text) to limena_app;
