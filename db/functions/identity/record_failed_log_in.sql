-- A failed log-in leaves its trace in each of the person's tenants; that of an unknown address in the platform's log,
-- and there without the address: people type passwords into the wrong field. begin_log_in() has counted it.
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
begin
    perform limena_private.seal_unauthenticated(p_request_id => p_request_id, p_ip => p_ip, p_user_agent => p_user_agent);

    if v_user_id is null then
        perform limena_private.record_event(p_tenant_id => null, p_action => 'session.login_failed');
    else
        perform limena_private.record_user_event(
            p_user_id => v_user_id,
            p_action => 'session.login_failed',
            p_entity_type => 'user',
            p_entity_id => v_user_id::text
        );
    end if;
end;
$$;

comment on function limena.record_failed_log_in(text, text, inet, text) is
'Records a failed log-in in the audit log of each of the user''s tenants, or of the platform for an unknown address.';

grant execute on function limena.record_failed_log_in(text, text, inet, text) to limena_auth;
