-- A failed log-in leaves its trace in each of the person's tenants; that of an unknown address in the platform's log,
-- and there without the address: people type passwords into the wrong field.
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.record_failed_log_in(
    p_email text,
    p_request_id text default null,
    p_ip inet default null,
    p_user_agent text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := (select u.id from limena.users as u where u.email = lower(btrim(p_email)));
    v_tenant_ids uuid[] := array(select m.tenant_id from limena.memberships as m where m.user_id = v_user_id);
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
    perform limena_private.record_event(
        p_tenant_id => t.id,
        p_action => 'session.login_failed',
        p_entity_type => case when v_user_id is not null then 'user' end,
        p_entity_id => v_user_id::text
    )
    from unnest(case when cardinality(v_tenant_ids) > 0 then v_tenant_ids else array[null::uuid] end) as t (id);
end;
$$;

comment on function limena.record_failed_log_in(text, text, inet, text) is
'Records a failed log-in in the audit log of each of the user''s tenants, or of the platform for an unknown address.';

grant execute on function limena.record_failed_log_in(text, text, inet, text) to limena_auth;
