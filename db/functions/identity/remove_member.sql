-- Someone goes, or is shown out. Their sessions are refused in this tenant by the next request, since the membership is
-- read anew by each; what they are in other tenants stays as it is. Their open invitations are withdrawn; one that
-- somebody is accepting this moment is found to count no longer (open_invitation asks whether its maker could still
-- make it).
--
-- Their keys end with them. Or they pass to an owner, the one who removes them, else the one who has been there
-- longest; but not by the word of whoever leaves, who knows those keys and would stay by them. A key that passes on
-- keeps only those scopes that its creator held at that moment: one made by an owner who was lowered to admin since
-- must not get tenant:own back by it.
--
-- What an attacker would try: remove an owner (tenant:own), or the last one (limena_private.set_membership()); have a
-- key remove people with less than members:write; let a key leave in its creator's name (leaving is for sessions);
-- leave and keep a way in (above); pass keys on with less than it takes to make them; call while they are being removed
-- (limena_private.lock_own_tenant()).
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
    if p_api_keys = 'transfer' and (v_context ->> 'user_id')::uuid = p_user_id then
        raise exception 'must be revoke where one goes oneself' using errcode = '22023', column = 'api_keys';
    end if;
    if v_tenant_id is null or not v_is_leaving then
        perform limena.require('members:write');
    end if;
    perform limena_private.lock_own_tenant(v_tenant_id, case when not v_is_leaving then 'members:write' end);
    if p_api_keys = 'transfer' and not limena.has_permission('tenant:own') then
        perform limena.require('api_keys:write');
    end if;

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
            held_since = clock_timestamp(),
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
    -- One whose row somebody holds counts no longer either, and nobody waits for it.
    update limena.invitations as i
    set withdrawn_at = clock_timestamp()
    from (
        select d.tenant_id, d.id
        from limena.invitations as d
        where d.tenant_id = v_tenant_id
            and d.invited_by = p_user_id
            and d.accepted_at is null
            and d.withdrawn_at is null
        for no key update skip locked
    ) as open
    where i.tenant_id = open.tenant_id and i.id = open.id;
end;
$$;

comment on function limena.remove_member(uuid, text) is
'Removes a member of the current tenant; a person''s own session leaves it by it, without a permission. p_api_keys: revoke (which is also what NULL does) or transfer, to an owner, what they could do at that moment. Raises 42501 without members:write, without tenant:own for an owner, or without api_keys:write or tenant:own for transfer; 22023 for transfer where one goes oneself; P0002 when there is no such member; LM002 for the last owner; LM001 when the tenant is frozen.';

grant execute on function limena.remove_member(uuid, text) to limena_app;
