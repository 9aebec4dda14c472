-- For the WITH CHECK of policies: is this row's tenant, the person in whose name it is written, and every permission
-- that it needs, what one and the same context holds? One call for all of it, for the reason given in tenant_with.
--
-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.holds(p_tenant_id uuid, p_user_id uuid, p_permissions text[])
returns boolean
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
begin
    return coalesce(
        (v_context ->> 'tenant_id')::uuid = p_tenant_id
        and (v_context ->> 'user_id')::uuid = p_user_id
        and (v_context -> 'permissions') ?& p_permissions,
        false
    );
end;
$$;

comment on function limena.holds(uuid, uuid, text[]) is
'True when the sealed context is in this tenant, acts for this person and holds all of the permissions. Raises 42501 when it does not match its seal.';

grant execute on function limena.holds(uuid, uuid, text[]) to limena_app;
