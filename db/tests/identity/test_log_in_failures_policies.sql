-- limena.log_in_failures below the API: no role touches it, limena_readonly neither. Fails without
-- db/policies/identity/log_in_failures.sql.
begin;
select plan(19);

select results_eq(
    $$select tests.policies_of('limena.log_in_failures')$$,
    array[
        'log_in_failures_delete_owner: delete to limena_owner',
        'log_in_failures_insert_owner: insert to limena_owner',
        'log_in_failures_select_owner: select to limena_owner',
        'log_in_failures_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.log_in_failures'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.log_in_failures')$$,
    array[]::text[],
    'exactly these privileges'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
insert into limena.log_in_failures (subject, failures, last_failed_at, blocked_until)
values (sha256('1'), 1, now(), '-infinity'), (sha256('2'), 2, now(), now());

set local role limena_app;
select is(
    tests.outcomes('select 1 from limena.log_in_failures', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody sees one, with a session or with a key'
);
select is(
    tests.outcomes(
        $$insert into limena.log_in_failures (subject, failures, last_failed_at, blocked_until)
        values (sha256('x'), 1, now(), 'infinity')$$,
        '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody makes one'
);
select is(
    tests.outcomes(
        'update limena.log_in_failures set blocked_until = now()', '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody changes one'
);
select is(
    tests.outcomes('delete from limena.log_in_failures', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody deletes one'
);
select tests.leave();

set local role limena_readonly;
select is(tests.outcome('select subject from limena.log_in_failures'), '42501', 'and no subject ever');
select is(tests.outcome('select failures from limena.log_in_failures'), '42501', 'and no failures ever');
select is(tests.outcome('update limena.log_in_failures set blocked_until = now()'), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select 1 from limena.log_in_failures'), '42501', 'limena_auth touches no table');
select is(
    tests.outcome(
        $$insert into limena.log_in_failures (subject, failures, last_failed_at, blocked_until)
        values (sha256('x'), 1, now(), 'infinity')$$
    ),
    '42501',
    'it has its procedures'
);

set local role limena_maintenance;
select is(tests.outcome('select 1 from limena.log_in_failures'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select 1 from limena.log_in_failures'), '2', 'limena_owner finds them, for its procedures');
select is(
    tests.outcome(
        $$insert into limena.log_in_failures (subject, failures, last_failed_at, blocked_until)
        values (sha256('x'), 1, now(), 'infinity')$$
    ),
    '1',
    'makes one'
);
select is(tests.outcome('update limena.log_in_failures set blocked_until = now()'), '2', 'changes them');
select is(tests.outcome('delete from limena.log_in_failures'), '2', 'and deletes them');

-- The shape of the data, whoever writes.
reset role;
select throws_ok(
    $$insert into limena.log_in_failures (subject, failures, last_failed_at, blocked_until)
    values ('owner@a.example', 1, now(), now())$$,
    '23514', null, 'a counter''s subject is a SHA-256 and no address'
);
select throws_ok(
    $$update limena.log_in_failures set failures = 0$$, '23514', null, 'a counter that counts nothing is deleted'
);

select * from finish();
rollback;
