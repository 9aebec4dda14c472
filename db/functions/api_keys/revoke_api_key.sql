-- Revocation is an UPDATE that the policies allow or hide. A key of another tenant and a key that does not exist get
-- the same answer, so that ids cannot be probed. Revoking twice is not an error: the second caller wanted what is
-- already true. A frozen tenant's keys can be revoked: they may have leaked.
create or replace function limena.revoke_api_key(p_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_revoked_at timestamptz;
begin
    perform limena.require_even_frozen('api_keys:write');

    update limena.api_keys as k
    set revoked_at = clock_timestamp()
    where k.tenant_id = (select limena.current_tenant_id()) and k.id = p_id
    returning k.revoked_at into v_revoked_at;

    if not found then
        -- Not there, or revoked before: the policy hides a revoked key from UPDATE.
        select k.revoked_at into v_revoked_at
        from limena.api_keys as k
        where k.tenant_id = (select limena.current_tenant_id()) and k.id = p_id;
    end if;
    if not found then
        raise exception 'no such API key' using errcode = 'P0002';
    end if;
    return jsonb_build_object('id', p_id, 'revoked_at', v_revoked_at);
end;
$$;

comment on function limena.revoke_api_key(uuid) is
'Revokes an API key of the current tenant; the next request that shows it is refused. Raises 42501 without api_keys:write, P0002 when there is none.';

grant execute on function limena.revoke_api_key(uuid) to limena_app;
