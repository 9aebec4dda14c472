-- Who but the owner may write what: the whole of it. self_check() refuses a deploy in which anyone may write more, or
-- read in limena_private; which columns, the tables' policy files say, and the tests of each table hold them to it.
create or replace view limena_private.granted_writes
with (security_invoker = true) as
select
    w.relation,
    w.role,
    w.privilege
from (
    values
    ('limena.api_keys', 'limena_app', 'insert'),
    ('limena.invitations', 'limena_app', 'insert'),
    ('limena.invitations', 'limena_app', 'update')
) as w (relation, role, privilege);

comment on view limena_private.granted_writes is 'Every right to write that a role other than limena_owner has.';
