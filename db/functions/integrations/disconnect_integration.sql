-- The API has tried to revoke the tokens at the provider by now; what came of it is put on record. They go from here
-- whatever that was: someone who wants to be rid of a connection must not depend on the provider's health.
create or replace function limena.disconnect_integration(p_provider text, p_revocation text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.current_tenant_id();
    v_id uuid;
begin
    perform limena.require('integrations:write');

    update limena.integrations as i
    set
        label = null,
        base_url = null,
        scopes = null,
        changed_by = limena.current_user_id(),
        disconnected_at = clock_timestamp(),
        failed_at = null,
        revocation = p_revocation,
        refresh_leased_until = null
    where i.tenant_id = v_tenant_id and i.provider = p_provider and i.disconnected_at is null
    returning i.id into v_id;
    if not found then
        raise exception 'not connected' using errcode = 'P0002';
    end if;
    delete from limena.integration_credentials as c where c.tenant_id = v_tenant_id and c.integration_id = v_id;
end;
$$;

comment on function limena.disconnect_integration(text, text) is
'Forgets the credentials of a provider. p_revocation: what became of its tokens at the provider. Raises 42501 without integrations:write, P0002 when it is not connected.';

grant execute on function limena.disconnect_integration(text, text) to limena_app;
