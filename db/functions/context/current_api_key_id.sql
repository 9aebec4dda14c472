-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.current_api_key_id()
returns uuid
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
begin
    return case when v_context ->> 'actor_type' = 'api_key' then (v_context ->> 'actor_id')::uuid end;
end;
$$;

comment on function limena.current_api_key_id() is
'The API key that acts; NULL where none does. Raises 42501 when the context does not match its seal.';

grant execute on function limena.current_api_key_id() to limena_app;
