-- What the files have made, for limena.self_check() to compare with. An object that was altered by hand before, and
-- that no file has written since, keeps its old line: the self-check names it and ends the deploy. Writes only what
-- differs, so that a deploy with nothing to do writes nothing.
do $$
declare
    v_major integer := current_setting('server_version_num')::integer / 10000;
    v_changes jsonb := current_setting('limena.deploy_changes')::jsonb;
begin
    if to_regclass('limena_private.deployed_definitions') is null
        or to_regclass('limena_private.definitions') is null
    then
        return;
    end if;

    delete from limena_private.deployed_definitions as d
    where not exists (select from limena_private.definitions as n where n.object = d.object)
        and not v_changes ? d.object;

    insert into limena_private.deployed_definitions as d (object, sha256, server_major)
    select n.object, n.sha256, v_major
    from limena_private.definitions as n
    where v_changes ->> n.object is distinct from n.sha256 || ' ' || n.written_by::text
        and not exists (
            select from limena_private.deployed_definitions as e
            where e.object = n.object and e.sha256 = n.sha256 and e.server_major = v_major
        )
    on conflict (object) do update set sha256 = excluded.sha256, server_major = excluded.server_major;
end;
$$;
