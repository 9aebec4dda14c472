-- A platform admin acts on a tenant that they are not in: what they change must stand in that tenant's log, and under
-- their name. The context moves to the tenant, without a role or a permission there; give what is returned to
-- seal_again() as soon as the change is made.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, and after they have asked who calls.
create or replace function limena_private.seal_for_platform(p_tenant_id uuid)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
    v_previous text[] := array[
        current_setting('app.current_tenant_id', true), current_setting('app.context', true), current_setting('app.seal', true)
    ];
begin
    -- The worker and the deployer have no context: their database login is the actor.
    if v_context is null then
        return null;
    end if;
    perform limena_private.seal_context(
        p_tenant_id => p_tenant_id,
        p_actor_type => v_context ->> 'actor_type',
        p_actor_id => (v_context ->> 'actor_id')::uuid,
        p_actor_label => v_context ->> 'actor_label',
        p_user_id => (v_context ->> 'user_id')::uuid,
        p_role => null,
        p_permissions => '{}',
        p_session_id => (v_context ->> 'session_id')::uuid,
        p_request_id => v_context ->> 'request_id',
        p_ip => (v_context ->> 'ip')::inet,
        p_user_agent => v_context ->> 'user_agent'
    );
    return v_previous;
end;
$$;

comment on function limena_private.seal_for_platform(uuid) is
'Moves the context of whoever acts into a tenant, without a permission; returns the one before, for seal_again(). NULL, and nothing is moved, where there is none.';
