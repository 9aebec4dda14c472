-- limena.session_uses below the API: a person reads their own, through a session. Fails without
-- db/policies/identity/session_uses.sql.
begin;
select plan(17);

select results_eq(
    $$select tests.policies_of('limena.session_uses')$$,
    array[
        'session_uses_insert_owner: insert to limena_owner',
        'session_uses_select_app: select to limena_app',
        'session_uses_select_owner: select to limena_owner',
        'session_uses_select_readonly: select to limena_readonly',
        'session_uses_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.session_uses'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.session_uses')$$,
    array[
        'limena_app: select (session_id, user_id, last_seen_at)',
        'limena_readonly: select (session_id, user_id, last_seen_at)'
    ],
    'exactly these privileges'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');

set local role limena_app;
select is(
    tests.outcomes('select session_id from limena.session_uses', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 0, viewer 1, member 1, admin 1, owner 1, key 0',
    'each sees when their own was last seen; a key nothing'
);
select is(
    tests.outcomes(
        $$select from limena.session_uses
        where session_id in (tests.id('session', 'a member'), tests.id('session', 'b owner'))$$,
        '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 0, viewer 0, member 1, admin 0, owner 0, key 0',
    'and nobody another''s, of the same tenant neither'
);
select is(
    tests.outcomes(
        'insert into limena.session_uses (session_id, user_id) values (gen_random_uuid(), gen_random_uuid())'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody adds a row'
);
select is(
    tests.outcomes('update limena.session_uses set last_seen_at = now()'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody writes when'
);
select is(
    tests.outcomes('delete from limena.session_uses'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody deletes it'
);

set local role limena_readonly;
select is(
    tests.outcome('select session_id, last_seen_at from limena.session_uses'),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('update limena.session_uses set last_seen_at = now()'), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select session_id from limena.session_uses'), '42501', 'limena_auth touches no table');

set local role limena_maintenance;
select is(tests.outcome('select session_id from limena.session_uses'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(
    tests.outcome('select session_id from limena.session_uses'),
    '8',
    'limena_owner finds them, for enter_session'
);
select is(tests.outcome('update limena.session_uses set last_seen_at = now()'), '8', 'writes them, for enter_session');
select is(
    tests.outcome(
        'insert into limena.session_uses (session_id, user_id) select session_id, user_id from limena.session_uses limit 1'  -- noqa: LT05
    ),
    '23505',
    'makes them, for log_in: it is the key that refuses a second row, not a policy'
);
select is(tests.outcome('delete from limena.session_uses'), '0', 'and deletes none: no policy says so');

-- The shape of the data, whoever writes.
reset role;
select throws_ok(
    $$update limena.session_uses set user_id = tests.user_id('b', 'owner')$$,
    '23503', null, 'a use belongs to its session''s person'
);

select * from finish();
rollback;
