-- Whose logs there are to verify, also those of whom the platform's log alone still knows: somebody may have taken a
-- whole tenant away. Ids and numbers; nothing that tells who they are.
--
-- SECURITY DEFINER because no role may read the log of all tenants. For limena_maintenance alone.
create or replace function limena.sealed_tenants()
returns table (tenant_id uuid, seals bigint)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select t.id, (select count(*) from limena.audit_seals as s where s.tenant_id = t.id)
    from (
        select a.id from limena.tenants as a
        union
        select s.tenant_id from limena.audit_seals as s
        union
        select k.name::uuid
        from limena.audit_logs as l
        cross join lateral jsonb_object_keys(l.details -> 'tenants') as k (name)
        where l.tenant_id = limena_private.platform_tenant_id() and l.action = 'audit_log.sealed'
    ) as t
    order by t.id;
end;
$$;

comment on function limena.sealed_tenants() is 'Every tenant that is or had a log, with the number of its seals.';

grant execute on function limena.sealed_tenants() to limena_maintenance;
