-- Nobody makes someone more than they are: each permission that a role adds to another one must be the caller's own.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.require_role(p_role limena.member_role, p_old limena.member_role)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_permission text;
begin
    for v_permission in
        select r.permission from limena.role_permissions as r where r.role = p_role
        except
        select r.permission from limena.role_permissions as r where r.role = p_old
        order by 1
    loop
        perform limena.require(v_permission);
    end loop;
end;
$$;

comment on function limena_private.require_role(limena.member_role, limena.member_role) is
'Returns when the caller holds all that p_role has and p_old has not; else raises what require() raises.';
