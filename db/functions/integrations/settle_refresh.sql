-- What came of a refresh: new tokens, sealed; or that the provider refused the refresh token; or, with neither, that it
-- could not be reached. Shows the lease that use_integration gave out: whoever has lost it, because it ran out or
-- because the provider was connected anew or disconnected meanwhile, changes nothing.
--
-- It enters no context: the caller's key may have been revoked while the provider was asked, and the new refresh token,
-- the only one that is good now, must not be lost for that. So it is for limena_auth alone, whose pool runs fixed
-- calls: SQL of someone's own as limena_app never gets to write a ciphertext with integrations:use. Who asked for the
-- refresh is in the log as integration.refreshing.
--
-- SECURITY DEFINER because no role may update ciphertexts, and limena_auth touches no table.
create or replace function limena.settle_refresh(
    p_tenant_id uuid,
    p_integration_id uuid,
    p_lease timestamptz,
    p_key_version integer default null,
    p_access_token bytea default null,
    p_refresh_token bytea default null,
    p_expires_in integer default null,
    p_is_refused boolean default false
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update limena.integrations as i
    set
        refresh_leased_until = null,
        failed_at = case when p_is_refused then clock_timestamp() end
    where i.tenant_id = p_tenant_id and i.id = p_integration_id and i.refresh_leased_until = p_lease;
    if not found then
        -- Asked again because the first answer was lost: no two ciphertexts are alike, so these very tokens stand there.
        return exists (
            select from limena.integration_credentials as c
            where c.tenant_id = p_tenant_id
                and c.integration_id = p_integration_id
                and c.field = 'access_token'
                and c.ciphertext = p_access_token
        );
    end if;

    -- A provider that rotates refresh tokens sent a new one, another one leaves the old.
    insert into limena.integration_credentials as c (
        tenant_id, integration_id, field, key_version, ciphertext, expires_at
    )
    select
        p_tenant_id,
        p_integration_id,
        n.field,
        p_key_version,
        n.ciphertext,
        n.expires_at
    from (
        values
        ('access_token', p_access_token, clock_timestamp() + make_interval(secs => p_expires_in)),
        ('refresh_token', p_refresh_token, null)
    ) as n (field, ciphertext, expires_at)
    where n.ciphertext is not null
    on conflict (tenant_id, integration_id, field) do update
    set key_version = excluded.key_version, ciphertext = excluded.ciphertext, expires_at = excluded.expires_at;
    return true;
end;
$$;

comment on function limena.settle_refresh(uuid, uuid, timestamptz, integer, bytea, bytea, integer, boolean) is
'Stores refreshed tokens, or that the provider refused; gives the lease back. False: the lease was lost, and nothing was stored. True again for what is stored already.';

grant execute on function limena.settle_refresh(uuid, uuid, timestamptz, integer, bytea, bytea, integer, boolean)
to limena_auth;
