-- The one place where a membership changes or ends, once it exists. All such changes of a tenant happen one after the
-- other, under the lock of the tenant's row, which freezing it takes too: so there always is an owner, however many
-- owners go at once, and nothing changes in a tenant that was frozen a moment ago.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, and after they have asked who calls.
create or replace function limena_private.set_membership(p_tenant_id uuid, p_user_id uuid, p_role limena.member_role)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old limena.member_role;
begin
    perform limena_private.lock_tenant(p_tenant_id);
    select m.role into v_old from limena.memberships as m where m.tenant_id = p_tenant_id and m.user_id = p_user_id;
    if not found then
        raise exception 'no such member' using errcode = 'P0002';
    end if;
    if v_old = 'owner'
        and p_role is distinct from 'owner'
        and not exists (
            select from limena.memberships as m
            where m.tenant_id = p_tenant_id and m.user_id <> p_user_id and m.role = 'owner'
        ) then
        raise exception 'A tenant has an owner: make someone else one first.' using errcode = 'LM002';
    end if;

    if p_role is null then
        delete from limena.memberships as m
        where m.tenant_id = p_tenant_id and m.user_id = p_user_id;
    else
        update limena.memberships as m
        set role = p_role
        where m.tenant_id = p_tenant_id and m.user_id = p_user_id and m.role <> p_role;
    end if;
end;
$$;

comment on function limena_private.set_membership(uuid, uuid, limena.member_role) is
'Gives a member another role, or none (NULL): they leave. Raises P0002 when there is no such member, LM002 when it would leave the tenant without an owner, LM001 when the tenant is frozen.';
