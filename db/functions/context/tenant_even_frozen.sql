-- As tenant_with(), and a permission that is withheld because the tenant is frozen counts. For the few things that must
-- work there: whoever finds a leaked key can revoke it.
--
-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.tenant_even_frozen(variadic p_permissions text[])
returns uuid
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
begin
    if (v_context -> 'permissions') ?| p_permissions or (v_context -> 'withheld') ?| p_permissions then
        return (v_context ->> 'tenant_id')::uuid;
    end if;
    return null;
end;
$$;

comment on function limena.tenant_even_frozen(text[]) is
'The tenant of the sealed context when the context holds one of the permissions, or would if the tenant were not frozen; else NULL. Raises 42501 when the context does not match its seal.';

grant execute on function limena.tenant_even_frozen(text[]) to limena_app;
