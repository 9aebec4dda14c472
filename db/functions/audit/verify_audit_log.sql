-- SECURITY DEFINER because no role may read the log of all tenants. For limena_maintenance alone; it tells ids of rows
-- and what became of them, and nothing that stands in them but the action.
create or replace function limena.verify_audit_log(p_tenant_id uuid)
returns table (kind text, row_id uuid, detail text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_tenant_id is null then
        raise exception 'must name a tenant' using errcode = '22023', column = 'tenant_id';
    end if;
    return query
    select v.kind, v.row_id, v.detail
    from limena_private.verify_audit_seals(p_tenant_id => p_tenant_id, p_after => 0, p_limit => null) as v
    where v.kind is not null;
end;
$$;

comment on function limena.verify_audit_log(uuid) is
'Holds a tenant''s audit log to its seals: one row a finding, the first one first; none: intact. kind: seal missing, seal altered, row missing, row altered, row added, removed unrecorded. Raises 22023 for NULL.';

grant execute on function limena.verify_audit_log(uuid) to limena_maintenance;
