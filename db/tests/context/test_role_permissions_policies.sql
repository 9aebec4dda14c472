-- limena.role_permissions below the API: everyone reads it, nobody writes it. Fails without
-- db/policies/context/role_permissions.sql.
begin;
select plan(13);

select is_empty($$select tests.policies_of('limena.role_permissions')$$, 'no policy: it holds no tenant''s data');
select is(tests.row_security_of('limena.role_permissions'), 'off', 'and no row-level security');
select results_eq(
    $$select tests.privileges_of('limena.role_permissions')$$,
    array[
        'limena_app: select (role, permission)', 'limena_auth: select (role, permission)',
        'limena_maintenance: select (role, permission)', 'limena_readonly: select (role, permission)'
    ],
    'exactly these privileges: everyone reads, nobody writes'
);

select tests.make_tenants();
create temporary table there as select count(*)::text as rows from limena.role_permissions;
grant select on there to public;

set local role limena_app;
select
    is(
        tests.outcomes('select permission from limena.role_permissions'),
        format('nobody %1$s, viewer %1$s, member %1$s, admin %1$s, owner %1$s', t.rows),
        'everyone sees every right of a role'
    )
from there as t;
select is(
    tests.outcomes('insert into limena.role_permissions (role, permission) values (''viewer'', ''tenant:own'')'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody adds one'
);
select is(
    tests.outcomes('update limena.role_permissions set role = ''viewer'''),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody changes one'
);
select is(
    tests.outcomes('delete from limena.role_permissions'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody takes one away'
);

set local role limena_readonly;
select
    is(
        tests.outcome('select permission from limena.role_permissions'),
        t.rows,
        'limena_readonly sees them'
    )
from there as t;
select is(tests.outcome('delete from limena.role_permissions'), '42501', 'and writes none');

set local role limena_auth;
select
    is(
        tests.outcome('select permission from limena.role_permissions'),
        t.rows,
        'limena_auth sees them'
    )
from there as t;
select is(tests.outcome('delete from limena.role_permissions'), '42501', 'and writes none');

set local role limena_maintenance;
select
    is(
        tests.outcome('select permission from limena.role_permissions'),
        t.rows,
        'limena_maintenance sees them'
    )
from there as t;
select is(tests.outcome('delete from limena.role_permissions'), '42501', 'and writes none');

select * from finish();
rollback;
