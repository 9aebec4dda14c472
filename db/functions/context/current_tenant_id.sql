-- For policies: `tenant_id = any (array[(select limena.current_tenant_id())])`, so that it runs once a statement, and
-- before any condition of the caller's: a plain `=` lets conditions that PostgreSQL takes for harmless run first, and
-- EXPLAIN ANALYZE then tells whether some row of some tenant met them (docs/decisions). NULL where there is no context,
-- and a comparison with NULL hides every row.
--
-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.current_tenant_id()
returns uuid
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if limena_private.verified_context() is null then
        return null;
    end if;
    return nullif(current_setting('app.current_tenant_id'), '')::uuid;
end;
$$;

comment on function limena.current_tenant_id() is
'The tenant of the sealed context, or NULL without one. Raises 42501 when the context does not match its seal.';

grant execute on function limena.current_tenant_id() to limena_app;
