-- The provider has sent someone back. The flow is used up by this, whatever comes of it: the row is gone when the
-- transaction commits, and of two that take it at once, one finds it.
--
-- What an attacker would try: have their own code redeemed in a victim's session, or a victim's in theirs (the flow
-- belongs to the session that began it, RFC 6749 section 10.12); use a state twice or late (gone). That leaves a trace,
-- so it commits and answers null instead of raising.
--
-- SECURITY DEFINER because no role may read ciphertexts and salts, and to record the event.
create or replace function limena.take_integration_flow(p_provider text, p_state_hash bytea)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
    v_tenant_id uuid := (v_context ->> 'tenant_id')::uuid;
    v_flow limena.integration_flows;
begin
    perform limena.require('integrations:write');
    if p_provider is null or p_provider !~ '^[a-z][a-z0-9-]{0,62}$' then
        raise exception 'is no provider' using errcode = '22023', column = 'provider';
    end if;
    delete from limena.integration_flows as f
    where f.tenant_id = v_tenant_id
        and f.state_hash = p_state_hash
        and f.provider = p_provider
        and f.session_id = (v_context ->> 'session_id')::uuid
        and f.expires_at > clock_timestamp()
    returning f.* into v_flow;
    if not found then
        perform limena_private.record_event(
            p_tenant_id => v_tenant_id,
            p_action => 'integration.failed',
            p_entity_type => 'integration',
            p_details => jsonb_build_object('provider', p_provider, 'reason', 'state')
        );
        return null;
    end if;
    return jsonb_build_object(
        'tenant_id', v_tenant_id,
        'flow_id', v_flow.id,
        'key_version', v_flow.key_version,
        'ciphertext', encode(v_flow.ciphertext, 'hex'),
        'salt', encode(limena_private.tenant_salt(v_tenant_id), 'hex')
    );
end;
$$;

comment on function limena.take_integration_flow(text, bytea) is
'Takes the connection under way that has this state, if the current session began it less than ten minutes ago; else records the attempt and answers null. Raises 42501 without integrations:write.';

grant execute on function limena.take_integration_flow(text, bytea) to limena_app;
