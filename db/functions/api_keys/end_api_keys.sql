-- The tenant's row comes first: who makes a key waits for it (limena_private.admit_api_key()), and keys that were made
-- in transactions from before count no longer once this one is committed.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, and after they have asked who calls.
create or replace function limena_private.end_api_keys(p_tenant_id uuid)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    perform from limena.tenants as t where t.id = p_tenant_id for no key update;
    update limena.tenants as t set api_keys_revoked_at = clock_timestamp() where t.id = p_tenant_id;
    update limena.api_keys as k
    set revoked_at = clock_timestamp()
    where k.tenant_id = p_tenant_id and k.revoked_at is null;
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function limena_private.end_api_keys(uuid) is 'Revokes every API key of a tenant, those too that are being made; returns how many were there.';
