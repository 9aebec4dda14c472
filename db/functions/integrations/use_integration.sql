-- The tokens of an OAuth 2 provider, sealed, and, when the access token is about to expire, the lease to refresh it. No
-- transaction stays open while the API talks to the provider: the lease stands in for a lock, for 90 seconds, longer
-- than the API waits for the provider and then for the database. Whoever comes meanwhile is told that it is busy, waits
-- and asks again, so that a refresh token is shown once, however many callers there are. A caller that dies leaves a
-- lease that runs out.
--
-- What an attacker would try: with SQL of their own and integrations:use, keep the lease, and so keep their own tenant
-- from refreshing. What they can read is what read_integrations tells them.
--
-- SECURITY DEFINER because no role may read ciphertexts and salts, or write the lease with integrations:use alone.
create or replace function limena.use_integration(p_provider text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('integrations:use');
    v_integration limena.integrations;
    v_credentials jsonb;
    v_is_due boolean;
    v_has_refresh_token boolean;
    v_expires_at timestamptz;
    v_lease timestamptz;
begin
    if v_tenant_id is null then
        perform limena.require('integrations:use');
        raise exception 'permission denied' using errcode = '42501';
    end if;
    select i.* into v_integration
    from limena.integrations as i
    where i.tenant_id = v_tenant_id and i.provider = p_provider and i.connected_at is not null and i.disconnected_at is null;
    if not found then
        raise exception 'not connected' using errcode = 'P0002';
    end if;

    -- Twice at most: what was there before the lease was taken may have been refreshed by the one who had it.
    for v_attempt in 1..2 loop
        select
            jsonb_object_agg(
                c.field, jsonb_build_object('key_version', c.key_version, 'ciphertext', encode(c.ciphertext, 'hex'))
            ),
            max(c.expires_at),
            -- A minute is left for whoever gets the token to use it.
            coalesce(max(c.expires_at) < clock_timestamp() + interval '1 minute', false),
            bool_or(c.field = 'refresh_token')
        into v_credentials, v_expires_at, v_is_due, v_has_refresh_token
        from limena.integration_credentials as c
        where c.tenant_id = v_tenant_id and c.integration_id = v_integration.id;
        exit when v_attempt = 2 or not v_is_due or not v_has_refresh_token or v_integration.failed_at is not null;

        -- Never waits: whoever holds the row is leasing, settling or connecting, and the caller asks again.
        update limena.integrations as i
        set refresh_leased_until = clock_timestamp() + interval '90 seconds'
        from (
            select d.tenant_id, d.id
            from limena.integrations as d
            where d.tenant_id = v_tenant_id
                and d.id = v_integration.id
                and d.disconnected_at is null
                and d.failed_at is null
                and (d.refresh_leased_until is null or d.refresh_leased_until < clock_timestamp())
            for update skip locked
        ) as due
        where i.tenant_id = due.tenant_id and i.id = due.id
        returning i.refresh_leased_until into v_lease;
        exit when not found;
    end loop;

    -- Somebody else was quicker: nothing is due any more, and the lease goes back.
    if v_lease is not null and not v_is_due then
        update limena.integrations as i
        set refresh_leased_until = null
        where i.tenant_id = v_tenant_id and i.id = v_integration.id and i.refresh_leased_until = v_lease;
        v_lease := null;
    end if;
    if v_lease is not null then
        perform limena_private.record_event(
            p_tenant_id => v_tenant_id,
            p_action => 'integration.refreshing',
            p_entity_type => 'integration',
            p_entity_id => v_integration.id::text,
            p_details => jsonb_build_object('provider', p_provider)
        );
    end if;

    return jsonb_build_object(
        'tenant_id', v_tenant_id,
        'integration_id', v_integration.id,
        'salt', (select encode(s.salt, 'hex') from limena_private.tenant_salts as s where s.tenant_id = v_tenant_id),
        'credentials', coalesce(v_credentials, '{}'),
        'is_failed', v_integration.failed_at is not null,
        'is_due', v_is_due,
        'expires_at', v_expires_at,
        'expires_in', ceil(extract(epoch from v_expires_at - clock_timestamp()))::integer,
        'lease', v_lease,
        'retry_after', case
            when v_lease is null and v_is_due then (
                select greatest(ceil(extract(epoch from i.refresh_leased_until - clock_timestamp())), 1)::integer
                from limena.integrations as i
                where i.tenant_id = v_tenant_id and i.id = v_integration.id
            )
        end
    );
end;
$$;

comment on function limena.use_integration(text) is
'The sealed tokens of a connected provider. is_due: the access token is about to expire; lease: this caller refreshes it, null: another one does, for retry_after seconds more at most. Raises 42501 without integrations:use, P0002 when it is not connected.';

grant execute on function limena.use_integration(text) to limena_app;
