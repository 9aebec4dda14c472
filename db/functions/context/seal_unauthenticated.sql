-- For procedures that come before anyone is known: who acts is nobody, but from where is recorded.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.seal_unauthenticated(p_request_id text, p_ip inet, p_user_agent text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena_private.seal_context(
        p_tenant_id => null,
        p_actor_type => 'system',
        p_actor_id => null,
        p_actor_label => 'unauthenticated',
        p_user_id => null,
        p_role => null,
        p_permissions => '{}',
        p_session_id => null,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent
    );
end;
$$;

comment on function limena_private.seal_unauthenticated(text, inet, text) is 'Seals a context of nobody in no tenant: for the log alone.';
