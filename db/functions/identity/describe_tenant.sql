-- What the procedures of a tenant answer. Row-level security decides which one it is of.
create or replace function limena.describe_tenant()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object(
        'id', t.id,
        'name', t.name,
        'state', t.state,
        'created_at', t.created_at,
        'deletion_due_at', t.deletion_due_at,
        'audit_retention_days', t.audit_retention_days
    )
    from limena.tenants as t
    where t.id = (select limena.current_tenant_id());
end;
$$;

comment on function limena.describe_tenant() is 'The current tenant: name, state, settings. NULL without a context.';

grant execute on function limena.describe_tenant() to limena_app;
