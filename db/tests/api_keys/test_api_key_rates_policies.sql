-- limena.api_key_rates below the API: counters that nobody reaches but through count_api_key_call(). Fails without
-- db/policies/api_keys/api_key_rates.sql.
begin;
select plan(14);

select results_eq(
    $$select tests.policies_of('limena.api_key_rates')$$,
    array[
        'api_key_rates_delete_owner: delete to limena_owner', 'api_key_rates_insert_owner: insert to limena_owner',
        'api_key_rates_select_owner: select to limena_owner', 'api_key_rates_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.api_key_rates'), 'forced', 'row-level security binds the owner too');
select is_empty($$select tests.privileges_of('limena.api_key_rates')$$, 'nobody has a right on it');

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
insert into limena.api_key_rates (tenant_id, api_key_id, second, calls)
values (tests.tenant_id('a'), tests.api_key_id('a'), 0, array_fill(1, array[61]));
create temporary table statements (statement text);
insert into statements
values
('select calls from limena.api_key_rates'),
('update limena.api_key_rates set calls = array_fill(0, array[61])'),
('delete from limena.api_key_rates');
grant select on statements to public;

set local role limena_app;
select
    is(
        tests.outcomes(s.statement, '{nobody, viewer, member, admin, owner, key}'),
        'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501', 'limena_app: ' || s.statement
    )
from statements as s;
set local role limena_readonly;
select is(tests.outcome('select calls from limena.api_key_rates'), '42501', 'limena_readonly reads none');
set local role limena_auth;
select is(tests.outcome('select calls from limena.api_key_rates'), '42501', 'limena_auth neither');
set local role limena_maintenance;
select is(tests.outcome('select calls from limena.api_key_rates'), '42501', 'nor limena_maintenance');
set local role limena_owner;
select is(tests.outcome(s.statement), '1', 'limena_owner: ' || s.statement)
from statements as s;

reset role;
select throws_ok(
    $$update limena.api_key_rates set calls = '{1}'$$, '23514', null, 'there are 61 buckets'
);
select lives_ok(
    format('delete from limena.api_keys where id = %L', tests.api_key_id('a')), 'a counter goes with its key'
);

select * from finish();
rollback;
