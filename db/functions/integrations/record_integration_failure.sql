-- What failed outside of the database: consent denied, a code refused, a provider that is down, a credential that does
-- not open.
--
-- What an attacker would try: write free text into the log (the reasons are a list), or into another tenant's (the
-- tenant is the context's).
--
-- SECURITY DEFINER because no role of the API may insert into audit_logs.
create or replace function limena.record_integration_failure(p_provider text, p_reason text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('integrations:use', 'integrations:write');
begin
    if v_tenant_id is null then
        perform limena.require('integrations:use');
        raise exception 'permission denied' using errcode = '42501';
    end if;
    if p_provider is null or p_provider !~ '^[a-z][a-z0-9-]{0,62}$' then
        raise exception 'is no provider' using errcode = '22023', column = 'provider';
    end if;
    if p_reason is null or p_reason not in ('denied', 'refused', 'unreachable', 'unreadable') then
        raise exception 'is no reason' using errcode = '22023', column = 'reason';
    end if;
    perform limena_private.record_event(
        p_tenant_id => v_tenant_id,
        p_action => 'integration.failed',
        p_entity_type => 'integration',
        p_entity_id => (
            select i.id::text from limena.integrations as i where i.tenant_id = v_tenant_id and i.provider = p_provider
        ),
        p_details => jsonb_build_object('provider', p_provider, 'reason', p_reason)
    );
end;
$$;

comment on function limena.record_integration_failure(text, text) is
'Records in the current tenant''s audit log that a provider could not be connected or used: denied, refused, unreachable, unreadable. Raises 42501 without integrations:use or integrations:write, 22023 for another reason.';

grant execute on function limena.record_integration_failure(text, text) to limena_app;
