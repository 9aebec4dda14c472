-- limena.operator_access below the API: each actor. What it opens is in api/tests/test_operators.py. Fails without
-- db/policies/operators/operator_access.sql.
begin;
select plan(11);

select results_eq(
    $$select tests.policies_of('limena.operator_access')$$,
    array[
        'operator_access_insert_owner: insert to limena_owner',
        'operator_access_select_owner: select to limena_owner',
        'operator_access_select_readonly: select to limena_readonly',
        'operator_access_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.operator_access'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.operator_access')$$,
    array[
        'limena_readonly: select (tenant_id, id, covers_all, login, user_id, reason, opened_at, expires_at, closed_at)'
    ],
    'exactly these privileges: no ticket''s hash, to anyone'
);

select tests.make_tenants();
set local session authorization limena_readonly;
select isnt(limena.open_access('a test', tests.tenant_id('a')), null, 'an access is declared');
select
    is(
        tests.outcome('select id from limena.operator_access'),
        '0',
        'and shows nothing, itself neither, before the commit'
    );
select is(tests.outcome('select ticket_hash from limena.operator_access'), '42501', 'its hash never');
select is(
    tests.outcome('update limena.operator_access set expires_at = expires_at + interval ''1 hour'''), '42501',
    'nobody makes it last'
);
select is(tests.outcome('select limena.close_access()'), '1', 'it can be closed at once');
reset session authorization;
set local role limena_app;
select
    is(
        tests.outcomes('select id from limena.operator_access', '{nobody, owner}'),
        'nobody 42501, owner 42501',
        'limena_app has no right on it'
    );
set local role limena_owner;
select is(tests.outcome('select id from limena.operator_access'), '1', 'limena_owner finds it, by its ticket');
select is(tests.outcome('delete from limena.operator_access'), '0', 'and deletes none');

select * from finish();
rollback;
