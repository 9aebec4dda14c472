-- A key of another tenant and a key that does not exist get
-- the same answer, so that ids cannot be probed. Revoking twice is not an error: the second caller wanted what is
-- already true. A frozen tenant's keys can be revoked: they may have leaked.
--
-- SECURITY DEFINER because limena_app may not update keys: whoever may can hold the locks that stop a revocation, and
-- choose the moment that the row tells.
create or replace function limena.revoke_api_key(p_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_even_frozen('api_keys:write');
    v_revoked_at timestamptz;
begin
    perform limena.require_even_frozen('api_keys:write');

    update limena.api_keys as k
    set revoked_at = clock_timestamp()
    where k.tenant_id = v_tenant_id and k.id = p_id and k.revoked_at is null
    returning k.revoked_at into v_revoked_at;

    if not found then
        -- Not there, or revoked before.
        select k.revoked_at into v_revoked_at
        from limena.api_keys as k
        where k.tenant_id = v_tenant_id and k.id = p_id;
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
