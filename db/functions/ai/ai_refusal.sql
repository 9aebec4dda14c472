-- A 429 is a result and not an error: what the refusal leaves behind (the trip, its row in the log, reservations that
-- expired) has to be committed. The API makes a problem document of it. Retry-After is rounded up, so that it is true.
-- A banner is for a pause: one call that does not fit is none.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.ai_refusal(
    p_cause text,
    p_ends_at timestamptz,
    p_now timestamptz,
    p_is_paused boolean default true
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_notice jsonb := limena.ai_trip_notice(p_cause, p_ends_at);
begin
    return jsonb_build_object('refused', jsonb_build_object(
        'code', v_notice -> 'code',
        'detail', case
            when p_is_paused then v_notice ->> 'detail'
            else 'The call does not fit beside the AI tokens that are used and reserved. A smaller one may.'
        end,
        'retry_after', greatest(1, ceil(extract(epoch from p_ends_at - p_now)))::bigint,
        'notice', case when p_is_paused then v_notice end
    ));
end;
$$;

comment on function limena_private.ai_refusal(text, timestamptz, timestamptz, boolean) is
'The result of a reservation that was refused: {refused: {code, detail, retry_after, notice}}. retry_after: seconds; notice: null when AI is not paused.';
