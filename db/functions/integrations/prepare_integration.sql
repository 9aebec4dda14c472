-- What has to be known before a credential can be sealed: the tenant, its salt, and the integration's id, the old one
-- where the provider was connected before. The ciphertext is bound to all of them.
--
-- What an attacker would try: learn another tenant's salt (the tenant is the context's). One's own is worth nothing
-- without the master key, which the database does not have.
--
-- SECURITY DEFINER because no role may read salts.
create or replace function limena.prepare_integration(p_provider text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('integrations:write');
begin
    if v_tenant_id is null then
        perform limena.require('integrations:write');
        raise exception 'permission denied' using errcode = '42501';
    end if;
    return jsonb_build_object(
        'tenant_id', v_tenant_id,
        'integration_id', coalesce(
            (select i.id from limena.integrations as i where i.tenant_id = v_tenant_id and i.provider = p_provider),
            gen_random_uuid()
        ),
        'salt', encode(limena_private.tenant_salt(v_tenant_id), 'hex')
    );
end;
$$;

comment on function limena.prepare_integration(text) is
'What a credential of this provider is to be sealed for: tenant_id, integration_id, salt (hex). Raises 42501 without integrations:write.';

grant execute on function limena.prepare_integration(text) to limena_app;
