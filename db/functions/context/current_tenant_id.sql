-- For policies: `tenant_id = (select limena.current_tenant_id())`, so that it runs once a statement. NULL where there is no context, and a
-- comparison with NULL hides every row.
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
