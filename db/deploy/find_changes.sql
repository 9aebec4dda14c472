-- What somebody has altered by hand since the last deploy, noted before the files run: remember_definitions.sql must
-- not take it for the deploy's own. To take a database as it is, empty limena_private.deployed_definitions first.
do $$
declare
    v_major integer := current_setting('server_version_num')::integer / 10000;
    v_changes jsonb;
begin
    if to_regclass('limena_private.deployed_definitions') is not null
        and to_regclass('limena_private.definitions') is not null
    then
        select jsonb_object_agg(coalesce(n.object, d.object), n.sha256 || ' ' || n.written_by::text) into v_changes
        from limena_private.definitions as n
        full join limena_private.deployed_definitions as d on n.object = d.object
        where n.sha256 is distinct from d.sha256
            and exists (select from limena_private.deployed_definitions as e where e.server_major = v_major);
    end if;
    perform set_config('limena.deploy_changes', coalesce(v_changes, '{}')::text, false);
end;
$$;
