-- What an attacker would try: raise themselves or a friend (each permission that the new role adds must be the caller's
-- own: an admin makes no owner, and a key that may only change roles raises nobody); lower an owner (tenant:own);
-- lower the last one, or two owners at once each the other (limena_private.set_membership()); name a member of another
-- tenant (the tenant is the context's, and the answer that of a member who does not exist); call while they are being
-- lowered or removed (limena_private.lock_own_tenant()).
--
-- SECURITY DEFINER because the last owner is a question about all owners, asked under a lock: no policy can say it, so
-- limena_app may not write memberships.
create or replace function limena.change_member_role(p_user_id uuid, p_role text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('members:write');
    v_old limena.member_role;
begin
    if p_role is null or p_role <> all (enum_range(null::limena.member_role)::text[]) then
        raise exception 'there is no such role' using errcode = '22023', column = 'role';
    end if;
    perform limena_private.lock_own_tenant(v_tenant_id, 'members:write');

    select m.role into v_old from limena.memberships as m where m.tenant_id = v_tenant_id and m.user_id = p_user_id;
    if not found then
        raise exception 'no such member' using errcode = 'P0002';
    end if;
    if v_old = 'owner' then
        perform limena.require('tenant:own');
    end if;
    perform limena_private.require_role(p_role::limena.member_role, v_old);

    perform limena_private.set_membership(v_tenant_id, p_user_id, p_role::limena.member_role);
    return jsonb_build_object('user_id', p_user_id, 'role', p_role);
end;
$$;

comment on function limena.change_member_role(uuid, text) is
'Gives a member of the current tenant another role. Raises 42501 without members:write, without tenant:own where an owner is lowered, or without a permission that the new role adds; P0002 when there is no such member; LM002 for the last owner; 28000 for who was removed meanwhile; 22023 for a bad role.';

grant execute on function limena.change_member_role(uuid, text) to limena_app;
