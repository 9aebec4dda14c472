-- Who may run what with whose rights: Limena's functions, and every SECURITY DEFINER function of any other schema that
-- somebody may call. Reads the catalogs alone.
create or replace view limena.function_report
with (security_invoker = true) as
select
    r.schema_name,
    r.function_name,
    r.arguments,
    r.owner,
    r.is_security_definer,
    r.search_path,
    r.executable_by,
    case
        when
            'PUBLIC' = any(r.executable_by) and r.is_security_definer
            then 'open: everyone may run it with its owner''s rights'
        when r.is_security_definer and r.search_path is null then 'open: its caller chooses what the names in it mean'
        when r.is_ours and 'PUBLIC' = any(r.executable_by) then 'open: executable by PUBLIC'
        when r.is_ours and r.owner <> 'limena_owner' then 'open: does not belong to limena_owner'
        else 'ok'
    end as verdict
from (
    select
        n.nspname::text as schema_name,
        p.proname::text as function_name,
        pg_catalog.pg_get_function_identity_arguments(p.oid) as arguments,
        o.rolname::text as owner,
        p.prosecdef as is_security_definer,
        n.nspname in ('limena', 'limena_private') as is_ours,
        (
            select substr(c.setting, length('search_path=') + 1)
            from unnest(p.proconfig) as c (setting)
            where c.setting like 'search\_path=%'
        ) as search_path,
        array(
            select coalesce(g.rolname::text, 'PUBLIC')
            from pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) as x
            left join pg_catalog.pg_roles as g on x.grantee = g.oid
            where x.privilege_type = 'EXECUTE' and x.grantee <> p.proowner
            order by coalesce(g.rolname::text, 'PUBLIC')
        ) as executable_by
    from pg_catalog.pg_proc as p
    inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
    inner join pg_catalog.pg_roles as o on p.proowner = o.oid
    where
        n.nspname in ('limena', 'limena_private')
        or p.prosecdef
        and n.nspname <> 'information_schema'
        and n.nspname not like 'pg\_%'
) as r
order by r.schema_name, r.function_name, r.arguments;

comment on view limena.function_report is
'One row a function of Limena, and a SECURITY DEFINER function of any schema: owner, search_path, who may execute it, and a verdict (ok, or why not).';

grant select on limena.function_report to limena_readonly, limena_maintenance;
