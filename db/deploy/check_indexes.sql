-- After each file that runs outside of the transaction, before it is recorded. A concurrent build that was cut off
-- leaves an index that is not valid: IF NOT EXISTS takes it for one, and no query uses it.
do $$
declare
    v_names text;
begin
    select string_agg(x.indexrelid::regclass::text, ', ' order by x.indexrelid::regclass::text) into v_names
    from pg_index as x
    inner join pg_class as c on c.oid = x.indexrelid
    where not x.indisvalid
        and c.relkind = 'i'
        and c.relnamespace in (select n.oid from pg_namespace as n where n.nspname in ('limena', 'limena_private'));
    if v_names is not null then
        raise exception 'not valid after a build that was cut off: %', v_names
            using errcode = '55000',
            hint = 'In the file, put "drop index concurrently if exists" before the build, and deploy again.';
    end if;
end;
$$;
