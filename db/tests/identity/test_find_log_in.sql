-- limena.find_log_in(): the only place where a bcrypt hash leaves the database. Fails without the function.
begin;
select plan(9);

select tests.make_tenants();

set local role limena_auth;
select results_eq(
    $$select user_id, password_hash from limena.find_log_in('owner@a.example')$$,
    $$values (tests.user_id('a', 'owner'), '$2b$04$' || repeat('.', 53))$$,
    'the person and the hash behind an address'
);
select results_eq(
    $$select user_id from limena.find_log_in('  OWNER@A.Example ')$$,
    array[tests.user_id('a', 'owner')],
    'however it is written'
);
select is_empty($$select user_id from limena.find_log_in('nobody@a.example')$$, 'no row for an unknown one');
select is_empty($$select user_id from limena.find_log_in('%')$$, 'it is no pattern');
select is_empty($$select user_id from limena.find_log_in('')$$, 'nor for an empty one');
select is_empty('select user_id from limena.find_log_in(null)', 'nor for none');

set local role limena_app;
select is(tests.outcome($$select limena.find_log_in('owner@a.example')$$), '42501', 'not for limena_app');
set local role limena_readonly;
select is(tests.outcome($$select limena.find_log_in('owner@a.example')$$), '42501', 'nor for limena_readonly');
set local role limena_maintenance;
select is(tests.outcome($$select limena.find_log_in('owner@a.example')$$), '42501', 'nor for limena_maintenance');

select * from finish();
rollback;
