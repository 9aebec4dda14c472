-- For the day on which something leaked. Works in a frozen tenant too. A key that is being made this moment is revoked
-- with the others: see limena_private.admit_api_key().
--
-- SECURITY DEFINER because limena_app may update neither keys nor tenants.
create or replace function limena.revoke_all_api_keys()
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_even_frozen('api_keys:write');
    v_count integer;
begin
    perform limena.require_even_frozen('api_keys:write');

    v_count := limena_private.end_api_keys(v_tenant_id);
    return jsonb_build_object('revoked', v_count);
end;
$$;

comment on function limena.revoke_all_api_keys() is
'Revokes every API key of the current tenant, the one that calls too; the answer says how many. Raises 42501 without api_keys:write.';

grant execute on function limena.revoke_all_api_keys() to limena_app;
