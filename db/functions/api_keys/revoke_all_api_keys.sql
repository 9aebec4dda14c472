-- For the day on which something leaked. Works in a frozen tenant too.
create or replace function limena.revoke_all_api_keys()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    perform limena.require_even_frozen('api_keys:write');

    update limena.api_keys as k
    set revoked_at = clock_timestamp()
    where k.tenant_id = (select limena.current_tenant_id());
    get diagnostics v_count = row_count;
    return jsonb_build_object('revoked', v_count);
end;
$$;

comment on function limena.revoke_all_api_keys() is
'Revokes every API key of the current tenant, the one that calls too; the answer says how many. Raises 42501 without api_keys:write.';

grant execute on function limena.revoke_all_api_keys() to limena_app;
