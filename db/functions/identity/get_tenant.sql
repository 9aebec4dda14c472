create or replace function limena.get_tenant()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena.require('tenant:read');
    return limena.describe_tenant();
end;
$$;

comment on function limena.get_tenant() is
'The current tenant and its settings. deletion_due_at: when it is erased, if its owner has deleted it. Raises 42501 without tenant:read.';

grant execute on function limena.get_tenant() to limena_app;
