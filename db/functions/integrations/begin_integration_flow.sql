-- Someone is about to be sent to a provider. The state is known to their browser alone, here is its SHA-256; the PKCE
-- verifier comes sealed.
--
-- What an attacker would try: begin a flow for another session or person (tenant, person and session are the context's,
-- out of one reading of it); do it with an API key, which has no session (session_id is never null).
--
-- SECURITY DEFINER because no role may write flows: a policy would have to take two facts from two readings.
create or replace function limena.begin_integration_flow(
    p_provider text,
    p_flow_id uuid,
    p_state_hash bytea,
    p_key_version integer,
    p_code_verifier bytea
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
begin
    perform limena.require('integrations:write');
    -- Whoever begins anew has given up what they began before: a session has one flow a provider.
    delete from limena.integration_flows as f
    where f.tenant_id = (v_context ->> 'tenant_id')::uuid
        and f.session_id = (v_context ->> 'session_id')::uuid
        and f.provider = p_provider;
    insert into limena.integration_flows (
        tenant_id, id, provider, session_id, user_id, state_hash, key_version, ciphertext
    )
    values (
        (v_context ->> 'tenant_id')::uuid,
        p_flow_id,
        p_provider,
        (v_context ->> 'session_id')::uuid,
        (v_context ->> 'user_id')::uuid,
        p_state_hash,
        p_key_version,
        p_code_verifier
    );
end;
$$;

comment on function limena.begin_integration_flow(text, uuid, bytea, integer, bytea) is
'Notes that the current session connects a provider. Good once, for ten minutes, or until it begins anew. Raises 42501 without integrations:write.';

grant execute on function limena.begin_integration_flow(text, uuid, bytea, integer, bytea) to limena_app;
