-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.current_session_id()
returns uuid
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (limena_private.verified_context()::jsonb ->> 'session_id')::uuid;
end;
$$;

comment on function limena.current_session_id() is
'The session that acts; NULL where none does (an API key, no context). Raises 42501 when the context does not match its seal.';

grant execute on function limena.current_session_id() to limena_app;
