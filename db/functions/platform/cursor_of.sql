-- A cursor is the place of the last row shown: microseconds since the epoch and the key that tells rows of one moment
-- apart. It names no tenant and grants nothing: whoever alters it gets another page of what they may see anyway.
create or replace function limena.cursor_of(p_time timestamptz, p_key text)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return (extract(epoch from p_time) * 1000000)::bigint::text || '_' || p_key;
end;
$$;

comment on function limena.cursor_of(timestamptz, text) is
'The cursor of a row, as cursor_time() and cursor_key() read it. Raises 0A000 for a time that is infinite, 22003 for one that is thousands of centuries away.';

grant execute on function limena.cursor_of(timestamptz, text) to limena_app;
