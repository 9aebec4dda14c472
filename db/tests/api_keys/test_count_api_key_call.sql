-- limena.count_api_key_call() and a clock that was set back: the key is not held up until the clock has caught up.
-- Fails where the second that was reached counts on. (How many calls there are: api/tests/test_key_rates.py.)
begin;
select plan(4);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
update limena.api_keys set calls_per_minute = 2;
insert into limena.api_key_rates (tenant_id, api_key_id, second, calls)
values (
    tests.tenant_id('a'), tests.api_key_id('a'), floor(extract(epoch from clock_timestamp()))::bigint + 86400,
    array[1] || array_fill(0, array[60])
);

set local role limena_app;
select is(
    tests.error_of(format('select limena.count_api_key_call(tests.key_hash(%L), gen_random_uuid())', 'a')),
    null, 'there is one call left'
);
select limena.count_api_key_call(tests.key_hash('a'), gen_random_uuid());
select is(
    tests.outcome(format('select limena.count_api_key_call(tests.key_hash(%L), gen_random_uuid())', 'a')),
    'LM004', 'what was counted before counts, as of just now'
);
reset role;
select ok(
    (
        select r.second <= extract(epoch from clock_timestamp()) from limena.api_key_rates as r
        where r.tenant_id = tests.tenant_id('a')
    ),
    'in a second that has been'
);
update limena.api_key_rates set second = second - 61;
set local role limena_app;
select is(
    tests.error_of(format('select limena.count_api_key_call(tests.key_hash(%L), gen_random_uuid())', 'a')),
    null, 'and a minute later it is over'
);

select * from finish();
rollback;
