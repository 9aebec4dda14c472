create or replace function limena.cursor_time(p_cursor text)
returns timestamptz
language plpgsql
immutable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_cursor is null then
        return 'infinity';
    end if;
    if p_cursor !~ '^[0-9]{1,16}_[0-9a-f-]{1,36}$' then
        raise exception 'is not a cursor of this list' using errcode = '22023', column = 'after';
    end if;
    return timestamptz 'epoch' + split_part(p_cursor, '_', 1)::bigint * interval '1 microsecond';
end;
$$;

comment on function limena.cursor_time(text) is
'The time that a cursor holds; infinity for NULL, the start of a list. Raises 22023 when it is no cursor.';

grant execute on function limena.cursor_time(text) to limena_app;
