-- Stores what the API has sealed. Whatever was stored for the provider before goes, in the same transaction; a refresh
-- that is under way loses its lease, so that it cannot bring old tokens back.
--
-- What an attacker would try: store a ciphertext of another row (it does not open here); connect in another tenant or
-- in another's name (tenant, person and permission are the context's, out of one reading of it, and an id that is
-- another tenant's is a new one here); connect twice in one moment (one gets 23505, and no ciphertext is stored under
-- an id that it was not sealed for); connect thousands (fifty a tenant: the count is taken under a lock).
--
-- SECURITY DEFINER because no role may write integrations or ciphertexts: with rights on the tables, SQL as limena_app
-- could alter a lease, a failure or an outcome, or hold rows of the tables that others wait for.
create or replace function limena.connect_integration(
    p_provider text,
    p_integration_id uuid,
    p_key_version integer,
    p_label text default null,
    p_base_url text default null,
    p_scopes text default null,
    p_secret bytea default null,
    p_access_token bytea default null,
    p_refresh_token bytea default null,
    p_expires_in integer default null
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
    v_tenant_id uuid := (v_context ->> 'tenant_id')::uuid;
    v_user_id uuid := (v_context ->> 'user_id')::uuid;
    v_expires_at timestamptz := clock_timestamp() + make_interval(secs => p_expires_in);
begin
    if ((v_context -> 'permissions') ? 'integrations:write') is not true then
        perform limena.require('integrations:write');
        raise exception 'permission denied' using errcode = '42501';
    end if;
    if p_provider is null or p_provider !~ '^[a-z][a-z0-9-]{0,62}$' then
        raise exception 'is no provider' using errcode = '22023', column = 'provider';
    end if;
    if p_key_version is null or p_key_version < 1 then
        raise exception 'is no version of a key' using errcode = '22023', column = 'key_version';
    end if;
    if num_nonnulls(p_secret, p_access_token) <> 1 or (p_refresh_token is not null and p_access_token is null) then
        raise exception 'is a key, or tokens' using errcode = '22023', column = 'secret';
    end if;

    if not exists (
        select from limena.integrations as i where i.tenant_id = v_tenant_id and i.provider = p_provider
    ) then
        -- The salt's row stands for the tenant: whoever makes one more waits for whoever does so at the same moment.
        perform from limena_private.tenant_salts as s where s.tenant_id = v_tenant_id for update;
        if not found then
            raise exception 'is to be prepared first' using errcode = '22023', column = 'integration_id';
        end if;
        if (select count(*) from limena.integrations as i where i.tenant_id = v_tenant_id) >= 50 then
            raise exception 'A tenant has 50 integrations at most.' using errcode = 'LM002';
        end if;
        insert into limena.integrations (tenant_id, id, provider, changed_by)
        values (v_tenant_id, p_integration_id, p_provider, v_user_id)
        on conflict on constraint integrations_provider_key do nothing;
    end if;

    update limena.integrations as i
    set
        label = p_label,
        base_url = p_base_url,
        scopes = p_scopes,
        changed_by = v_user_id,
        connected_at = clock_timestamp(),
        disconnected_at = null,
        failed_at = null,
        revocation = null,
        refresh_leased_until = null
    where i.tenant_id = v_tenant_id and i.id = p_integration_id and i.provider = p_provider;
    if not found then
        raise exception 'the provider was connected at the same moment' using errcode = '23505';
    end if;

    -- Deleted and made anew: nobody but the owner may update a ciphertext.
    delete from limena.integration_credentials as c
    where c.tenant_id = v_tenant_id and c.integration_id = p_integration_id;
    insert into limena.integration_credentials (tenant_id, integration_id, field, key_version, ciphertext, expires_at)
    select
        v_tenant_id,
        p_integration_id,
        n.field,
        p_key_version,
        n.ciphertext,
        n.expires_at
    from (
        values
        ('secret', p_secret, null::timestamptz),
        ('access_token', p_access_token, v_expires_at),
        ('refresh_token', p_refresh_token, null)
    ) as n (field, ciphertext, expires_at)
    where n.ciphertext is not null;

    return (
        select
            jsonb_build_object(
                'id', i.id,
                'provider', i.provider,
                'state', 'connected',
                'label', i.label,
                'base_url', i.base_url,
                'scopes', i.scopes,
                'connected_by', i.changed_by,
                'connected_at', i.connected_at,
                'failed_at', i.failed_at,
                'expires_at', v_expires_at
            )
        from limena.integrations as i
        where i.tenant_id = v_tenant_id and i.id = p_integration_id
    );
end;
$$;

comment on function limena.connect_integration(text, uuid, integer, text, text, text, bytea, bytea, bytea, integer) is
'Connects a provider, or connects it anew, with credentials that were sealed for p_integration_id under p_key_version. Raises 42501 without integrations:write, 23505 when it was connected at the same moment, LM002 for a 51st, 22023 or 23514 for a bad value.';

grant execute on function limena.connect_integration(
    text, uuid, integer, text, text, text, bytea, bytea, bytea, integer
)
to limena_app;
