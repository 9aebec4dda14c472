-- For the policies of what is a person's own: the person, when a session of theirs acts. An API key acts for its
-- creator, and has no business with the creator's log-ins. One call and not two, for the reason given in tenant_with.
--
-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.current_session_user_id()
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
    return case when v_context ->> 'session_id' is not null then (v_context ->> 'user_id')::uuid end;
end;
$$;

comment on function limena.current_session_user_id() is
'The person who acts through a session; NULL with an API key or without a context. Raises 42501 when the context does not match its seal.';

grant execute on function limena.current_session_user_id() to limena_app;
