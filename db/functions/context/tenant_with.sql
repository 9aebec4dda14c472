-- For policies: the tenant of the context if the caller holds one of these permissions there, else NULL, which hides
-- every row. Tenant and permission are answered together, out of one reading of the context.
--
-- What an attacker would try: enter a second context in the middle of a statement. `(select f())` in a policy runs when
-- it is first needed, so two calls may see two contexts: with `tenant_id = (select current_tenant_id()) and (select
-- has_permission(…))` a viewer here who owns a tenant elsewhere had the tenant answered in this one and the permission
-- in the other. So no policy takes two facts from two calls.
--
-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.tenant_with(variadic p_permissions text[])
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
    if (v_context -> 'permissions') ?| p_permissions then
        return (v_context ->> 'tenant_id')::uuid;
    end if;
    return null;
end;
$$;

comment on function limena.tenant_with(text[]) is
'The tenant of the sealed context when the context holds one of the permissions, else NULL. Raises 42501 when the context does not match its seal.';

grant execute on function limena.tenant_with(text[]) to limena_app;
