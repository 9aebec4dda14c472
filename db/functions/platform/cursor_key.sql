create or replace function limena.cursor_key(p_cursor text, p_pattern text)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key text := split_part(p_cursor, '_', 2);
begin
    if v_key !~ p_pattern then
        raise exception 'is not a cursor of this list' using errcode = '22023', column = 'after';
    end if;
    return v_key;
end;
$$;

comment on function limena.cursor_key(text, text) is
'The key that a cursor holds; NULL for NULL. Raises 22023 when the key does not match the list''s pattern (a regular expression), 2201B when that is none.';

grant execute on function limena.cursor_key(text, text) to limena_app;
