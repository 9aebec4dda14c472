-- role × permission, for people to read. The rows come from where require() and the policies get theirs.
create or replace view limena.permission_matrix
with (security_invoker = true) as
select
    r.role::text as role,
    r.permission,
    p.description
from limena.role_permissions as r
inner join limena.permissions as p on r.permission = p.name
order by r.role, r.permission;

comment on view limena.permission_matrix is 'Which role has which permission: one row a pair.';

grant select on limena.permission_matrix to limena_app, limena_auth, limena_readonly, limena_maintenance;
