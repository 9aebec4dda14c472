-- Counts a call before it is made: one of the hour's calls, and as many of the month's tokens as it may take. Exact,
-- because whoever counts has the tenant's row, and reads limits, clock and counters after that.
--
-- What an attacker would try: many calls at once (one after the other under the lock); a clock or a context of their
-- own (the clock is the server's, the tenant the sealed context's); a retry as a second reservation (an Idempotency-Key
-- is looked up under the lock), or as someone else's (keys are of one caller); hammering while AI is paused, to slow
-- others down (then nothing is locked and nothing written); estimates that are far too high, to pause everybody (only
-- what was settled trips the ceiling); holding the row in a transaction of their own (whoever waits gives up after a
-- second or two, with 55P03).
--
-- Waiting calls could be granted in batches, under one lock: everything between lock_ai_quota() and save_ai_quota() is
-- about one call and could be said again for the next.
--
-- SECURITY DEFINER because limena_app may write no counter: with SQL of its own it would set them back.
create or replace function limena.reserve_ai_call(
    p_model text,
    p_estimated_tokens integer,
    p_idempotency_key text default null
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
    v_tenant_id uuid := (v_context ->> 'tenant_id')::uuid;
    v_actor_id uuid := (v_context ->> 'actor_id')::uuid;
    v_quota limena.ai_quotas;
    v_limits limena.ai_limits;
    v_pause limena.ai_quotas;
    v_tokens bigint;
    v_id uuid := gen_random_uuid();
    v_expires_at timestamptz;
    v_answer jsonb;
begin
    if p_model is null or p_model !~ '^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,99}$' then
        raise exception 'must have 1 to 100 letters, digits and ._:/@+- and begin with a letter or a digit'
            using errcode = '22023', column = 'model';
    end if;
    if p_estimated_tokens is null or p_estimated_tokens not between 1 and 10000000 then
        raise exception 'must be from 1 to 10000000' using errcode = '22023', column = 'estimated_tokens';
    end if;
    if p_idempotency_key !~ '^[!-~]([ -~]{0,253}[!-~])?$' then
        raise exception 'must have 1 to 255 ASCII characters' using errcode = '22023', column = 'idempotency_key';
    end if;
    if not coalesce((v_context -> 'permissions') ? 'ai:use', false) then
        perform limena.require('ai:use');  -- says why not
    end if;

    -- What can be answered without the row waits for nobody. Under its lock everything is read anew.
    select l.* into strict v_limits from limena.ai_limits as l where l.tenant_id = v_tenant_id;
    if not (v_limits.is_enabled and v_limits.is_allowed) then
        raise exception 'AI is switched off' using errcode = 'LM003';
    end if;
    v_answer := limena_private.retried_ai_reservation(
        v_tenant_id, v_actor_id, p_idempotency_key, p_model, p_estimated_tokens
    );
    if v_answer is not null then
        return v_answer;
    end if;

    loop
        v_quota := limena_private.lock_ai_quota(v_tenant_id, p_even_if_paused => false);
        exit when v_quota.as_of is not null;
        select q.* into v_pause
        from limena.ai_quotas as q
        where q.tenant_id = v_tenant_id and q.trip_ends_at > limena.ai_clock();
        exit when found;
        -- The pause ended this very moment: once more.
    end loop;
    if coalesce(v_quota.as_of, v_pause.as_of) > limena.ai_clock() + interval '1 minute' then
        raise exception 'the clock was ahead' using errcode = 'LM006';
    end if;
    if v_quota.as_of is not null then
        select l.* into strict v_limits from limena.ai_limits as l where l.tenant_id = v_tenant_id;
        if not (v_limits.is_enabled and v_limits.is_allowed) then
            raise exception 'AI is switched off' using errcode = 'LM003';
        end if;
        v_answer := limena_private.retried_ai_reservation(
            v_tenant_id, v_actor_id, p_idempotency_key, p_model, p_estimated_tokens
        );
        if v_answer is not null then
            perform limena_private.save_ai_quota(v_quota);
            return v_answer;
        end if;
    end if;
    if p_estimated_tokens > v_limits.tokens_per_month then
        raise exception 'must not be above the month''s limit, which is %', v_limits.tokens_per_month
            using errcode = '22023', column = 'estimated_tokens';
    end if;
    if v_quota.as_of is null then
        return limena_private.ai_refusal(v_pause.trip_cause, v_pause.trip_ends_at, limena.ai_clock());
    end if;

    v_tokens := v_quota.used_tokens - v_quota.written_off_tokens + v_quota.reserved_tokens + p_estimated_tokens;
    if v_tokens > v_limits.tokens_per_month
        and v_quota.used_tokens - v_quota.written_off_tokens >= v_limits.tokens_per_month * 0.95 then
        v_quota := limena_private.trip_ai_quota(v_quota, 'ceiling', v_limits.tokens_per_month);
    elsif v_quota.recent_calls >= v_limits.calls_per_hour then
        v_quota := limena_private.trip_ai_quota(v_quota, 'velocity', v_limits.calls_per_hour);
    elsif v_tokens > v_limits.tokens_per_month then
        -- It is reservations that leave no room, or the call is a large one: nothing pauses, smaller ones go on.
        perform limena_private.save_ai_quota(v_quota);
        return limena_private.ai_refusal(
            'ceiling',
            limena_private.ai_room_at(v_quota, v_tokens - v_limits.tokens_per_month),
            limena.ai_clock(),
            p_is_paused => false
        );
    end if;
    if v_quota.trip_cause is not null then
        perform limena_private.save_ai_quota(v_quota);
        return limena_private.ai_refusal(v_quota.trip_cause, v_quota.trip_ends_at, limena.ai_clock());
    end if;

    v_expires_at := v_quota.as_of + interval '10 minutes';
    insert into limena.ai_reservations (
        tenant_id, id, actor_type, actor_id, model, estimated_tokens, idempotency_key, created_at, expires_at
    )
    values (
        v_tenant_id, v_id, v_context ->> 'actor_type', v_actor_id, p_model, p_estimated_tokens, p_idempotency_key,
        v_quota.as_of, v_expires_at
    );
    v_quota.calls[1] := v_quota.calls[1] + 1;
    v_quota.recent_calls := v_quota.recent_calls + 1;
    v_quota.reserved_tokens := v_quota.reserved_tokens + p_estimated_tokens;
    v_quota.expires_at := least(v_quota.expires_at, v_expires_at);
    v_quota := limena_private.warn_ai_quota(v_quota, v_limits.tokens_per_month);
    perform limena_private.save_ai_quota(v_quota);

    return jsonb_build_object(
        'id', v_id,
        'state', 'live',
        'expires_at', v_expires_at,
        'remaining_tokens', v_limits.tokens_per_month - v_tokens,
        'remaining_calls', v_limits.calls_per_hour - v_quota.recent_calls
    );
end;
$$;

comment on function limena.reserve_ai_call(text, integer, text) is
'Reserves an AI call for ten minutes: {id, state, expires_at, remaining_tokens, remaining_calls}, or {refused: {code, detail, retry_after, notice}} when it does not fit under a limit; with a notice when AI is paused for the tenant, else with null. A retry with the same idempotency key gets the same reservation. Raises 42501 without ai:use, LM002 for a retry when the reservation is live no more, LM003 while AI is switched off, LM006 while the count is ahead of the clock, 22023 for a bad value, 55P03 when others have the tenant''s row for a second or two.';

grant execute on function limena.reserve_ai_call(text, integer, text) to limena_app;
