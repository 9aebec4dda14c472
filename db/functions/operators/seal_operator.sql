-- Who acts is the database login; from where, what the connection says. For the log alone: it opens nothing.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.seal_operator()
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena_private.seal_context(
        p_tenant_id => null,
        p_actor_type => 'operator',
        p_actor_id => null,
        p_actor_label => session_user::text,
        p_user_id => null,
        p_role => null,
        p_permissions => '{}',
        p_session_id => null,
        p_request_id => null,
        p_ip => inet_client_addr(),
        p_user_agent => current_setting('application_name')
    );
end;
$$;

comment on function limena_private.seal_operator() is
'Seals a context of the database login, in no tenant and without a permission: for the log.';
