-- What happens by time alone is nobody's doing, and must not stand in the log under the name of whoever came by first.
-- Give what is returned to seal_again() as soon as it is recorded.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.seal_for_system(p_tenant_id uuid)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_previous text[] := array[
        current_setting('app.current_tenant_id', true), current_setting('app.context', true), current_setting('app.seal', true)
    ];
begin
    perform limena_private.seal_context(
        p_tenant_id => p_tenant_id,
        p_actor_type => 'system',
        p_actor_id => null,
        p_actor_label => 'limena',
        p_user_id => null,
        p_role => null,
        p_permissions => '{}',
        p_session_id => null,
        p_request_id => null,
        p_ip => null,
        p_user_agent => null
    );
    return v_previous;
end;
$$;

comment on function limena_private.seal_for_system(uuid) is
'Moves the context into a tenant as nobody, without a permission; returns the one before, for seal_again().';
