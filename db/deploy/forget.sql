-- A file of db/functions or db/policies that is gone: its line of the ledger goes too, once its object is gone from the
-- database. Removing a file removes nothing else, and an object that no file describes is one that nobody reviews.
-- limena.deploy_forgotten is the path; limena.deploy_moved is 'on' where another file now describes an object of that
-- name.
do $$
declare
    v_path text := current_setting('limena.deploy_forgotten');
    v_name text := substring(v_path from '([^/]+)\.sql$');
    v_kind text := split_part(v_path, '/', 1);
begin
    if not current_setting('limena.deploy_moved')::boolean and exists (
        select
        from pg_class as c
        inner join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname in ('limena', 'limena_private') and c.relname = v_name
        union all
        select
        from pg_proc as p
        inner join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname in ('limena', 'limena_private') and p.proname = v_name and v_kind = 'functions'
    ) then
        raise exception '% is gone, and its object % is still in the database', v_path, v_name
            using errcode = '55000', hint = 'Drop it in a new schema file.';
    end if;

    delete from limena_private.deployed_files as f where f.path = v_path;
end;
$$;
