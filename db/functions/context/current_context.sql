-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.current_context()
returns jsonb
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return limena_private.verified_context()::jsonb;
end;
$$;

comment on function limena.current_context() is
'The sealed context: tenant_id, actor_type, actor_id, actor_label, user_id, role, permissions, withheld, session_id, request_id, ip, user_agent, key_name, key_prefix; NULL without one. Raises 42501 when it does not match its seal.';

grant execute on function limena.current_context() to limena_app;
