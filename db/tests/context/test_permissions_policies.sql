-- limena.permissions below the API: everyone reads it, nobody writes it. Fails without
-- db/policies/context/permissions.sql.
begin;
select plan(13);

select is_empty($$select tests.policies_of('limena.permissions')$$, 'no policy: it holds no tenant''s data');
select is(tests.row_security_of('limena.permissions'), 'off', 'and no row-level security');
select results_eq(
    $$select tests.privileges_of('limena.permissions')$$,
    array[
        'limena_app: select (name, description, works_when_frozen)',
        'limena_auth: select (name, description, works_when_frozen)',
        'limena_maintenance: select (name, description, works_when_frozen)',
        'limena_readonly: select (name, description, works_when_frozen)'
    ],
    'exactly these privileges: everyone reads, nobody writes'
);

select tests.make_tenants();
create temporary table there as select count(*)::text as rows from limena.permissions;
grant select on there to public;

set local role limena_app;
select
    is(
        tests.outcomes('select name from limena.permissions'),
        format('nobody %1$s, viewer %1$s, member %1$s, admin %1$s, owner %1$s', t.rows),
        'everyone sees every permission'
    )
from there as t;
select is(
    tests.outcomes('insert into limena.permissions (name, description) values (''x:y'', ''x'')'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody adds one'
);
select is(
    tests.outcomes('update limena.permissions set description = ''x'''),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody changes one'
);
select is(
    tests.outcomes('delete from limena.permissions'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody takes one away'
);

set local role limena_readonly;
select is(tests.outcome('select name from limena.permissions'), t.rows, 'limena_readonly sees them') from there as t;
select is(tests.outcome('delete from limena.permissions'), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select name from limena.permissions'), t.rows, 'limena_auth sees them') from there as t;
select is(tests.outcome('delete from limena.permissions'), '42501', 'and writes none');

set local role limena_maintenance;
select is(tests.outcome('select name from limena.permissions'), t.rows, 'limena_maintenance sees them') from there as t;
select is(tests.outcome('delete from limena.permissions'), '42501', 'and writes none');

select * from finish();
rollback;
