-- Someone is about to be sent to a provider. The state is known to their browser alone, here is its SHA-256; the PKCE
-- verifier comes sealed.
create or replace function limena.begin_integration_flow(
    p_provider text,
    p_flow_id uuid,
    p_state_hash bytea,
    p_key_version integer,
    p_code_verifier bytea,
    p_label text default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena.require('integrations:write');
    insert into limena.integration_flows (
        tenant_id, id, provider, session_id, user_id, state_hash, label, key_version, ciphertext
    )
    values (
        limena.current_tenant_id(),
        p_flow_id,
        p_provider,
        limena.current_session_id(),
        limena.current_user_id(),
        p_state_hash,
        p_label,
        p_key_version,
        p_code_verifier
    );
end;
$$;

comment on function limena.begin_integration_flow(text, uuid, bytea, integer, bytea, text) is
'Notes that the current session connects a provider. Good once, for ten minutes. Raises 42501 without integrations:write, 23514 for a bad label.';

grant execute on function limena.begin_integration_flow(text, uuid, bytea, integer, bytea, text) to limena_app;
