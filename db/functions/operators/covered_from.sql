-- For policies of limena_readonly: bounds for the index, so that an access to one tenant reads no other's entries (how
-- many those are, EXPLAIN ANALYZE would tell). They decide nothing: covered_tenant_id() and covers_all() do.
--
-- SECURITY DEFINER because no role may read tickets.
create or replace function limena.covered_from()
returns uuid
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_access limena.operator_access := limena_private.current_access();
begin
    return case when v_access.covers_all then '00000000-0000-0000-0000-000000000000'::uuid else v_access.tenant_id end;
end;
$$;

comment on function limena.covered_from() is
'The first tenant id that the operator''s declared access covers; NULL without one.';

grant execute on function limena.covered_from() to limena_readonly;
