-- Functions are made with check_function_bodies off, since one may call another that comes later. Now that all are
-- there, each is handed to its language's validator, so that a mistake in a body stops the deploy and not the first
-- request that meets it.
do $$
declare
    v_function record;
begin
    for v_function in
        select p.oid, p.oid::regprocedure as signature, l.lanvalidator::regproc as validator
        from pg_proc as p
        inner join pg_namespace as n on n.oid = p.pronamespace
        inner join pg_language as l on l.oid = p.prolang
        where n.nspname in ('limena', 'limena_private') and l.lanvalidator <> 0
        order by p.oid::regprocedure::text
    loop
        begin
            execute format('select %s(%L::pg_catalog.oid)', v_function.validator, v_function.oid);
        exception
            when others then
                raise exception '%: %', v_function.signature, sqlerrm using errcode = sqlstate;
        end;
    end loop;
end;
$$;
