-- What protects each relation that holds tenant data: the tables and partitions of limena, and any relation of any
-- schema with a column tenant_id. Reads the catalogs alone.
create or replace view limena.isolation_report
with (security_invoker = true) as
select
    r.schema_name,
    r.relation_name,
    r.kind,
    r.has_tenant_id,
    r.is_row_security_enabled,
    r.is_row_security_forced,
    r.policies,
    r.audit_triggers,
    r.grants,
    case
        when r.kind in ('view', 'materialized view') and not r.is_security_invoker
            then 'unprotected: a view that does not run as its caller'
        when r.kind in ('view', 'materialized view') then 'ok'
        when not r.is_row_security_enabled then 'unprotected: no row-level security'
        when not r.is_row_security_forced then 'unprotected: row-level security does not bind the owner'
        when cardinality(r.public_grants) > 0 then 'unprotected: granted to PUBLIC'
        else 'ok'
    end as verdict
from (
    select
        n.nspname::text as schema_name,
        c.relname::text as relation_name,
        case c.relkind
            when 'r' then case when c.relispartition then 'partition' else 'table' end
            when 'p' then 'partitioned table'
            when 'v' then 'view'
            when 'm' then 'materialized view'
            when 'f' then 'foreign table'
        end as kind,
        t.is_there as has_tenant_id,
        c.relrowsecurity as is_row_security_enabled,
        c.relforcerowsecurity as is_row_security_forced,
        coalesce('security_invoker=true' = any(c.reloptions), false) as is_security_invoker,
        array(
            select p.polname::text
            from pg_catalog.pg_policy as p
            where p.polrelid = c.oid
            order by p.polname
        ) as policies,
        array(
            select g.tgname::text
            from pg_catalog.pg_trigger as g
            inner join pg_catalog.pg_proc as f on g.tgfoid = f.oid and f.proname = 'record_changes'
            inner join pg_catalog.pg_namespace as s on f.pronamespace = s.oid and s.nspname = 'limena_private'
            where g.tgrelid = c.oid and g.tgenabled in ('O', 'A')
            order by g.tgname
        ) as audit_triggers,
        array(
            select distinct coalesce(o.rolname::text, 'PUBLIC') || ': ' || lower(a.privilege_type)
            from (
                select
                    x.grantee,
                    x.privilege_type
                from pg_catalog.aclexplode(c.relacl) as x
                union
                select
                    x.grantee,
                    x.privilege_type
                from pg_catalog.pg_attribute as b
                cross join lateral pg_catalog.aclexplode(b.attacl) as x
                where b.attrelid = c.oid and b.attnum > 0 and not b.attisdropped
            ) as a
            left join pg_catalog.pg_roles as o on a.grantee = o.oid
            where a.grantee <> c.relowner
            order by coalesce(o.rolname::text, 'PUBLIC') || ': ' || lower(a.privilege_type)
        ) as grants,
        array(
            select x.privilege_type
            from pg_catalog.aclexplode(c.relacl) as x
            where x.grantee = 0
            union all
            select x.privilege_type
            from pg_catalog.pg_attribute as b
            cross join lateral pg_catalog.aclexplode(b.attacl) as x
            where b.attrelid = c.oid and b.attnum > 0 and not b.attisdropped and x.grantee = 0
        ) as public_grants
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
    cross join
        lateral (
            select exists(
                select from pg_catalog.pg_attribute as b
                where b.attrelid = c.oid and b.attname = 'tenant_id' and b.attnum > 0 and not b.attisdropped
            ) as is_there
        ) as t
    where
        c.relkind in ('r', 'p', 'v', 'm', 'f')
        and n.nspname not in ('pg_catalog', 'information_schema', 'limena_private')
        and n.nspname not like 'pg\_%'
        and (
            t.is_there
            or n.nspname = 'limena'
            and c.relkind in ('r', 'p')
            and c.relname not in ('permissions', 'role_permissions')
        )
) as r
order by r.schema_name, r.relation_name;

comment on view limena.isolation_report is 'One row a relation that holds tenant data: what protects it, and a verdict (ok, or why not).';

grant select on limena.isolation_report to limena_readonly, limena_maintenance;
