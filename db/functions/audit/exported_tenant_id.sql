-- The tenant of an export: the context's; for an operator, the one that the declared access covers. It decides nothing
-- (the policies do), but says that there is one tenant only, so that rows come out of the index in their order.
--
-- SECURITY DEFINER because no role may call both of the functions in it.
create or replace function limena.exported_tenant_id()
returns uuid
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(limena.current_tenant_id(), limena.covered_tenant_id());
end;
$$;

comment on function limena.exported_tenant_id() is
'The tenant of the sealed context, or else the one that the operator''s declared access covers; NULL without either.';

grant execute on function limena.exported_tenant_id() to limena_app, limena_readonly;
