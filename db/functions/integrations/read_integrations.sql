-- What is connected, with ciphertexts and the salt: to the API, which opens them and hands on what may be handed on.
-- For the list too: it says whether a credential opens, and that can only be tried.
--
-- What an attacker would try: SQL of their own as limena_app gets the ciphertexts of the tenant whose context they
-- have, and no plain text: the master key is not here. Another tenant's are out of reach, with every permission.
--
-- SECURITY DEFINER because no role may read ciphertexts and salts.
create or replace function limena.read_integrations(p_permission text, p_provider text default null)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid;
begin
    if p_permission is null or p_permission not in ('integrations:read', 'integrations:write', 'integrations:use') then
        raise exception 'is no permission for that' using errcode = '22023', column = 'permission';
    end if;
    v_tenant_id := limena.tenant_with(p_permission);
    if v_tenant_id is null then
        perform limena.require(p_permission);
        raise exception 'permission denied' using errcode = '42501';
    end if;

    return json_build_object(
        'tenant_id', v_tenant_id,
        'salt', (select encode(s.salt, 'hex') from limena_private.tenant_salts as s where s.tenant_id = v_tenant_id),
        'items', coalesce(json_agg(n.item order by n.connected_at desc, n.id), '[]')
    )
    from (
        select
            i.connected_at,
            i.id,
            json_build_object(
                'id', i.id,
                'provider', i.provider,
                'state', case when i.failed_at is null then 'connected' else 'failed' end,
                'label', i.label,
                'base_url', i.base_url,
                'scopes', i.scopes,
                'connected_by', i.changed_by,
                'connected_at', i.connected_at,
                'failed_at', i.failed_at,
                'expires_at', max(c.expires_at),
                'credentials', coalesce(
                    json_agg(
                        json_build_object('field', c.field, 'key_version', c.key_version, 'ciphertext', encode(c.ciphertext, 'hex'))
                        order by c.field
                    ) filter (where c.field is not null),
                    '[]'
                )
            ) as item
        from limena.integrations as i
        left join limena.integration_credentials as c on i.tenant_id = c.tenant_id and i.id = c.integration_id
        where i.tenant_id = v_tenant_id
            and i.connected_at is not null
            and i.disconnected_at is null
            and (p_provider is null or i.provider = p_provider)
        group by i.tenant_id, i.id
        -- More than there are providers: the API opens each one.
        order by i.connected_at desc, i.id
        limit 50
    ) as n;
end;
$$;

comment on function limena.read_integrations(text, text) is
'The connected integrations of the current tenant (of one provider), newest first, with ciphertexts and salt in hex. Raises 42501 without p_permission, 22023 for one that is not about integrations.';

grant execute on function limena.read_integrations(text, text) to limena_app;
