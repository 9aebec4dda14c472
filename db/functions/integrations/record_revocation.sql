-- What became of the tokens at the provider, after disconnect_integration. Shows when that was: an outcome is of one
-- disconnection, is recorded once, and not after the provider was connected anew. A process that dies in between leaves
-- NULL: nobody knows.
--
-- What an attacker would try: with SQL of their own and integrations:write, record an outcome that was none, in their
-- own tenant, before the API does; it is in the log under their name.
--
-- SECURITY DEFINER because no role may write integrations.
create or replace function limena.record_revocation(
    p_integration_id uuid,
    p_disconnected_at timestamptz,
    p_revocation text
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
    if ((v_context -> 'permissions') ? 'integrations:write') is not true then
        perform limena.require('integrations:write');
        raise exception 'permission denied' using errcode = '42501';
    end if;
    update limena.integrations as i
    set revocation = p_revocation
    where i.tenant_id = (v_context ->> 'tenant_id')::uuid
        and i.id = p_integration_id
        and i.disconnected_at = p_disconnected_at
        and i.revocation is null;
    if not found then
        raise exception 'no such disconnection' using errcode = 'P0002';
    end if;
end;
$$;

comment on function limena.record_revocation(uuid, timestamptz, text) is
'Records, once, what a provider answered when it was asked to revoke the tokens of a disconnected integration. Raises 42501 without integrations:write, P0002 when there is no such disconnection or its outcome is known, 23514 for another outcome.';

grant execute on function limena.record_revocation(uuid, timestamptz, text) to limena_app;
