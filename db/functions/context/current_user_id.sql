-- The person who acts, or for whom a key acts: the creator of the key, whose role bounds it.
--
-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.current_user_id()
returns uuid
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (limena_private.verified_context()::jsonb ->> 'user_id')::uuid;
end;
$$;

comment on function limena.current_user_id() is
'The person who acts, with an API key its creator; NULL without a context. Raises 42501 when the context does not match its seal.';

grant execute on function limena.current_user_id() to limena_app;
