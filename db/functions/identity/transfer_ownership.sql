-- A member becomes an owner, and the person who calls an admin, in one step: there is no moment without an owner.
--
-- What an attacker would try: raise someone with a key that holds tenant:own and nothing else (refused, as by
-- change_member_role()).
--
-- SECURITY DEFINER for the reason given in change_member_role().
create or replace function limena.transfer_ownership(p_user_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('tenant:own');
    v_user_id uuid := limena.current_user_id();
    v_old limena.member_role;
begin
    perform limena.require('tenant:own');
    if p_user_id is null or p_user_id = v_user_id then
        raise exception 'must be another member' using errcode = '22023', column = 'user_id';
    end if;
    perform limena_private.lock_own_tenant(v_tenant_id, 'tenant:own');
    perform limena.require('members:write');
    select m.role into v_old from limena.memberships as m where m.tenant_id = v_tenant_id and m.user_id = p_user_id;
    if not found then
        raise exception 'no such member' using errcode = 'P0002';
    end if;
    perform limena_private.require_role('owner', v_old);

    perform limena_private.set_membership(v_tenant_id, p_user_id, 'owner');
    perform limena_private.set_membership(v_tenant_id, v_user_id, 'admin');
    return jsonb_build_object('user_id', p_user_id, 'role', 'owner');
end;
$$;

comment on function limena.transfer_ownership(uuid) is
'Makes a member of the current tenant an owner, and the person who calls an admin. Raises 42501 without tenant:own, members:write and what else an owner has, P0002 when there is no such member, 22023 for oneself.';

grant execute on function limena.transfer_ownership(uuid) to limena_app;
