-- Someone goes, or is shown out. Their sessions are refused in this tenant by the next request, since the membership is
-- read anew by each; what they are in other tenants stays as it is. Their invitations count no longer
-- (accept_invitation asks whether their maker could still make them).
--
-- Their keys end with them, or pass to an owner: the one who removes them, else the one who has been there longest. A
-- key that passes on keeps only those scopes that its creator held at that moment: one made by an owner who was lowered
-- to admin since must not get tenant:own back by it.
--
-- What an attacker would try: remove an owner (tenant:own), or the last one (limena_private.set_membership()); have a
-- key remove people with less than members:write; let a key leave in its creator's name (leaving is for sessions).
--
-- SECURITY DEFINER for the reason given in change_member_role().
create or replace function limena.remove_member(p_user_id uuid, p_api_keys text default null)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena.current_context();
    v_tenant_id uuid := (v_context ->> 'tenant_id')::uuid;
    -- One's own session may leave without a permission; a key does not leave in its creator's name.
    v_is_leaving boolean := coalesce(v_context ->> 'session_id' is not null and (v_context ->> 'user_id')::uuid = p_user_id, false);
    v_role limena.member_role;
    v_heir uuid;
begin
    if p_api_keys is not null and p_api_keys not in ('revoke', 'transfer') then
        raise exception 'must be revoke or transfer' using errcode = '22023', column = 'api_keys';
    end if;
    if v_tenant_id is null or not v_is_leaving then
        perform limena.require('members:write');
    end if;
    perform limena_private.lock_tenant(v_tenant_id);

    select m.role into v_role from limena.memberships as m where m.tenant_id = v_tenant_id and m.user_id = p_user_id;
    if not found then
        raise exception 'no such member' using errcode = 'P0002';
    end if;
    if v_role = 'owner' and not v_is_leaving then
        perform limena.require('tenant:own');
    end if;

    perform limena_private.set_membership(v_tenant_id, p_user_id, null);
    if p_api_keys = 'transfer' then
        select m.user_id into strict v_heir
        from limena.memberships as m
        where m.tenant_id = v_tenant_id and m.role = 'owner'
        order by m.user_id = (v_context ->> 'user_id')::uuid desc, m.created_at, m.user_id
        limit 1;
        update limena.api_keys as k
        set
            created_by = v_heir,
            scopes = array(
                select s.name from unnest(k.scopes) as s (name)
                inner join limena.role_permissions as r on s.name = r.permission and r.role = v_role
                order by s.name
            )
        where k.tenant_id = v_tenant_id
            and k.created_by = p_user_id
            and k.revoked_at is null
            and exists (
                select from limena.role_permissions as r where r.role = v_role and r.permission = any (k.scopes)
            );
    end if;
    -- All, or those that would have no scope left.
    update limena.api_keys as k
    set revoked_at = clock_timestamp()
    where k.tenant_id = v_tenant_id and k.created_by = p_user_id and k.revoked_at is null;
end;
$$;

comment on function limena.remove_member(uuid, text) is
'Removes a member of the current tenant; a person''s own session leaves it by it, without a permission. p_api_keys: revoke (which is also what NULL does) or transfer, to an owner, what they could do at that moment. Raises 42501 without members:write, or without tenant:own for an owner; P0002 when there is no such member; LM002 for the last owner; LM001 when the tenant is frozen.';

grant execute on function limena.remove_member(uuid, text) to limena_app;
