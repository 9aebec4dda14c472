-- The people of the tenants that a declared access covers. limena.users belongs to no tenant and opens to an access to
-- all alone: a policy that asked for members would let an operator's own conditions on addresses run first, and EXPLAIN
-- ANALYZE tell of everyone.
--
-- SECURITY DEFINER for that reason.
create or replace function limena.covered_people()
returns table (
    tenant_id uuid, user_id uuid, email text, display_name text, role limena.member_role, member_since timestamptz
)
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_access limena.operator_access := limena_private.current_access();
begin
    return query
    select m.tenant_id, u.id, u.email, u.display_name, m.role, m.created_at
    from limena.memberships as m
    inner join limena.users as u on m.user_id = u.id
    where v_access.covers_all or m.tenant_id = v_access.tenant_id
    order by m.tenant_id, m.created_at, u.id;
end;
$$;

comment on function limena.covered_people() is
'The members of the tenants that the operator''s declared access covers; no row without one.';

grant execute on function limena.covered_people() to limena_readonly;
