-- For policies of limena_readonly: the one tenant that a declared access covers. NULL without an access, and a
-- comparison with NULL hides every row; NULL also where the access covers all: covers_all() says that.
--
-- SECURITY DEFINER because no role may read tickets.
create or replace function limena.covered_tenant_id()
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
    return case when not v_access.covers_all then v_access.tenant_id end;
end;
$$;

comment on function limena.covered_tenant_id() is
'The tenant that the operator''s declared access covers; NULL without one, and where it covers all.';

grant execute on function limena.covered_tenant_id() to limena_readonly;
