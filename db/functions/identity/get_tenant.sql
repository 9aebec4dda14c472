create or replace function limena.get_tenant()
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena.require('tenant:read');
    return jsonb_build_object(
        'id', t.id,
        'name', t.name,
        'state', t.state,
        'created_at', t.created_at,
        'deletion_due_at', t.deletion_due_at
    )
    from limena.tenants as t
    where t.id = (select limena.current_tenant_id());
end;
$$;

comment on function limena.get_tenant() is
'The current tenant. deletion_due_at: when it is erased, if its owner has deleted it. Raises 42501 without tenant:read.';

grant execute on function limena.get_tenant() to limena_app;
