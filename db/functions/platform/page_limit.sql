create or replace function limena.page_limit(p_limit integer)
returns integer
language plpgsql
immutable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_limit is null or p_limit not between 1 and 200 then
        raise exception 'must be from 1 to 200' using errcode = '22023', column = 'limit';
    end if;
    return p_limit;
end;
$$;

comment on function limena.page_limit(integer) is 'The number of items of a page. Raises 22023 unless it is from 1 to 200.';

grant execute on function limena.page_limit(integer) to limena_app, limena_readonly;
