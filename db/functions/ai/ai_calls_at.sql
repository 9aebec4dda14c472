-- The ring of one-minute buckets, moved on: [1] is the current minute, [61] the one 60 minutes ago. The current minute
-- has only begun, and the last one is counted whole, so that no 60 minutes, wherever they begin, hold more calls than
-- the sum.
create or replace function limena.ai_calls_at(p_calls integer[], p_as_of timestamptz, p_now timestamptz)
returns integer[]
language plpgsql
immutable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Whatever the two times are, it fits: infinite ones too.
    v_minutes integer := greatest(
        0, least(61, floor(extract(epoch from p_now) / 60) - floor(extract(epoch from p_as_of) / 60))
    );
begin
    if v_minutes = 0 then
        return p_calls;
    end if;
    return array_fill(0, array[v_minutes]) || p_calls[1:61 - v_minutes];
end;
$$;

comment on function limena.ai_calls_at(integer[], timestamptz, timestamptz) is
'The 61 one-minute buckets of p_calls, which are of p_as_of, as they are at p_now.';

grant execute on function limena.ai_calls_at(integer[], timestamptz, timestamptz) to limena_app, limena_readonly;
