-- For `limena doctor` and the rotation: which master keys are needed, and by how much. Tells of no tenant.
--
-- SECURITY DEFINER because limena_maintenance reads no table.
create or replace function limena.credential_key_versions()
returns table (key_version integer, credentials bigint)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select n.key_version, count(*)
    from (
        select c.key_version from limena.integration_credentials as c
        union all
        select f.key_version from limena.integration_flows as f
    ) as n
    group by n.key_version
    order by n.key_version;
end;
$$;

comment on function limena.credential_key_versions() is
'The versions of the master key under which something is sealed, and how much.';

grant execute on function limena.credential_key_versions() to limena_maintenance;
