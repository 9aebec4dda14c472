-- Disconnects, and hands out what was stored, for the API to revoke at the provider: the one thing that it is good for
-- from now on. Mark, lease and ciphertexts go in one transaction, so nothing is revoked that is in use, nothing stays
-- that was not revoked, and a refresh that is under way stores nothing. What came of the revocation is not known until
-- record_revocation says so.
--
-- What an attacker would try: get another tenant's ciphertexts (the tenant is the context's); with SQL of their own one
-- gets one's own tenant's, as from read_integrations, and no plain text.
--
-- SECURITY DEFINER because no role may read ciphertexts and salts, or write integrations.
create or replace function limena.disconnect_integration(p_provider text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
    v_tenant_id uuid := (v_context ->> 'tenant_id')::uuid;
    v_integration limena.integrations;
    v_credentials jsonb;
begin
    if ((v_context -> 'permissions') ? 'integrations:write') is not true then
        perform limena.require('integrations:write');
        raise exception 'permission denied' using errcode = '42501';
    end if;
    update limena.integrations as i
    set
        label = null,
        base_url = null,
        scopes = null,
        changed_by = (v_context ->> 'user_id')::uuid,
        disconnected_at = clock_timestamp(),
        failed_at = null,
        revocation = null,
        refresh_leased_until = null
    where i.tenant_id = v_tenant_id and i.provider = p_provider and i.disconnected_at is null
    returning i.* into v_integration;
    if not found then
        raise exception 'not connected' using errcode = 'P0002';
    end if;
    with gone as (
        delete from limena.integration_credentials as c
        where c.tenant_id = v_tenant_id and c.integration_id = v_integration.id
        returning c.field, c.key_version, c.ciphertext
    )
    select
        jsonb_agg(
            jsonb_build_object(
                'field', g.field, 'key_version', g.key_version, 'ciphertext', encode(g.ciphertext, 'hex')
            )
        )
    into v_credentials
    from gone as g;
    return jsonb_build_object(
        'tenant_id', v_tenant_id,
        'salt', (select encode(s.salt, 'hex') from limena_private.tenant_salts as s where s.tenant_id = v_tenant_id),
        'id', v_integration.id,
        'provider', v_integration.provider,
        'disconnected_at', v_integration.disconnected_at,
        'credentials', coalesce(v_credentials, '[]')
    );
end;
$$;

comment on function limena.disconnect_integration(text) is
'Forgets the credentials of a provider, and tells them for the last time, sealed, with the salt in hex. Raises 42501 without integrations:write, P0002 when it is not connected.';

grant execute on function limena.disconnect_integration(text) to limena_app;
