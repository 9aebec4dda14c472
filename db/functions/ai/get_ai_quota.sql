create or replace function limena.get_ai_quota()
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena.require('ai:read');
    return limena.describe_ai_quota(limena.current_tenant_id());
end;
$$;

comment on function limena.get_ai_quota() is
'The AI quota of the current tenant. calls: of the last hour, where resets_at says when all of them are free again without further calls (while AI is paused for velocity: when the pause ends); tokens: of the month (UTC). Raises 42501 without ai:read.';

grant execute on function limena.get_ai_quota() to limena_app;
