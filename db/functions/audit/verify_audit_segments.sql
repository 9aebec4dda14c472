-- verify_audit_log() in pieces, for `limena audit verify`, which shows how far it is: a row without a kind for each
-- seal that was looked at.
--
-- SECURITY DEFINER because no role may read the log of all tenants. For limena_maintenance alone.
create or replace function limena.verify_audit_segments(
    p_tenant_id uuid, p_after integer default 0, p_limit integer default 10
)
returns table (kind text, row_id uuid, detail text, number integer, rows integer)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_tenant_id is null then
        raise exception 'must name a tenant' using errcode = '22023', column = 'tenant_id';
    end if;
    if p_limit is null or p_limit not between 1 and 1000 then
        raise exception 'must be from 1 to 1000' using errcode = '22023', column = 'limit';
    end if;
    return query
    select v.kind, v.row_id, v.detail, v.number, v.rows
    from limena_private.verify_audit_seals(
        p_tenant_id => p_tenant_id, p_after => coalesce(p_after, 0), p_limit => p_limit
    ) as v;
end;
$$;

comment on function limena.verify_audit_segments(uuid, integer, integer) is
'verify_audit_log() of up to p_limit seals after number p_after: one row a finding, and one with kind NULL for each seal. Raises 22023 for a bad tenant or limit.';

grant execute on function limena.verify_audit_segments(uuid, integer, integer) to limena_maintenance;
