-- limena.settle_ai_call(), release_ai_call(), expire_reservations() and prune(): what becomes of a reservation, and
-- that counters, detail and sums stay one truth. Fails without any of them.
begin;
select plan(56);

-- A clock that a test sets: an hour and a minute of next month, for which there are partitions.
create function tests.at(p_after interval)
returns timestamptz
language sql
as $$
select (date_trunc('month', now() at time zone 'UTC') + interval '1 month 10 days 12 hours') at time zone 'UTC' + p_after
$$;
create or replace function limena.ai_clock()
returns timestamptz
language sql
as $$ select current_setting('tests.clock')::timestamptz $$;
create function tests.clock(p_after interval)
returns text
language sql
as $$ select set_config('tests.clock', tests.at(p_after)::text, true) $$;
create function tests.reserve(p_name text, p_tokens integer)
returns text
language sql
as $$ select set_config('tests.' || p_name, limena.reserve_ai_call('m', p_tokens) ->> 'id', true) $$;
create function tests.reserved(p_name text)
returns uuid
language sql
as $$ select current_setting('tests.' || p_name)::uuid $$;
create function tests.counted()
returns text
language sql
security definer
as $$
select format('used %s, reserved %s', q.used_tokens, q.reserved_tokens)
from limena.ai_quotas as q
where q.tenant_id = tests.tenant_id('a')
$$;
create function tests.recorded_by(p_name text)
returns uuid
language sql
security definer
as $$ select l.recorded_by from limena.ai_usage_logs as l where l.id = tests.reserved(p_name) $$;
create function tests.expire()
returns text
language sql
as $$
select string_agg(limena.expire_reservations(d.tenant_id)::text, ' ') from limena.due_ai_quotas() as d (tenant_id)
$$;
create function tests.usage_of(p_name text)
returns text
language sql
security definer
as $$
select
    concat_ws(
        ' ', l.outcome, l.prompt_tokens, l.completion_tokens, l.latency_ms, l.actor_type, l.occurred_at = r.created_at
    )
from limena.ai_reservations as r
left join limena.ai_usage_logs as l on r.tenant_id = l.tenant_id and r.id = l.id
where r.id = tests.reserved(p_name)
$$;

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'user', p_scopes => '{ai:use}');
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{ai:read}');
select tests.clock('0');

set local role limena_app;
select tests.enter_as('a', 'member');
select tests.reserve('first', 100);
select tests.reserve('second', 100);
select tests.reserve('third', 100);
select tests.reserve('fourth', 100);
select tests.reserve('fifth', 100);

-- Who may.
select is(
    tests.outcomes(
        format('select limena.settle_ai_call(%L, 1, 1, 1)', tests.reserved('first')),
        '{nobody, viewer, member, admin, owner, user, reader}'
    ),
    'nobody 42501, viewer 42501, member 1, admin 1, owner 1, user 42501, reader 42501',
    'who reserved it settles it, and so does ai:write'
);
select is(
    tests.outcomes(
        format('select limena.release_ai_call(%L)', tests.reserved('first')),
        '{nobody, viewer, member, admin, owner, user, reader}'
    ),
    'nobody 42501, viewer 42501, member 1, admin 1, owner 1, user 42501, reader 42501',
    'and releases it'
);
select tests.enter_as('b', 'owner');
select is(
    tests.outcome(format('select limena.settle_ai_call(%L, 1, 1, 1)', tests.reserved('first'))), 'P0002',
    'another tenant''s does not exist'
);
select is(tests.outcome(format('select limena.release_ai_call(%L)', tests.reserved('first'))), 'P0002', 'for neither');
select is(tests.outcome('select limena.settle_ai_call(gen_random_uuid(), 1, 1, 1)'), 'P0002', 'as one that is none');
select tests.enter_as('a', 'member');
select
    is(
        tests.error_of(format('select limena.settle_ai_call(%L, %s)', tests.reserved('first'), s.arguments)),
        s.error,
        s.arguments
    )
from (
    values
    ('-1, 1, 1', '22023 must be from 0 to 10000000; column prompt_tokens'),
    ('1, null, 1', '22023 must be from 0 to 10000000; column completion_tokens'),
    ('10000001, 1, 1', '22023 must be from 0 to 10000000; column prompt_tokens'),
    ('1, 10000001, 1', '22023 must be from 0 to 10000000; column completion_tokens'),
    ('1, 1, -1', '22023 must not be negative; column latency_ms'),
    ('1, 1, 1, ''expired''', '22023 must be succeeded or failed; column outcome')
) as s (arguments, error);

-- Settled.
select is(
    limena.settle_ai_call(tests.reserved('first'), 40, 30, 900),
    jsonb_build_object(
        'id', tests.reserved('first'), 'outcome', 'succeeded', 'prompt_tokens', 40, 'completion_tokens', 30,
        'remaining_tokens', 20000000 - 470, 'remaining_calls', 495
    ),
    'the answer'
);
select is(tests.counted(), 'used 70, reserved 400', 'what it took counts in place of what was reserved');
select is(tests.usage_of('first'), 'succeeded 40 30 900 user t', 'one row of usage, of the moment of the reservation');
select is(
    limena.settle_ai_call(tests.reserved('first'), 40, 30, 900) ->> 'remaining_tokens', '19999530', 'a repetition'
);
select is(tests.counted(), 'used 70, reserved 400', 'counts nothing');
select is(
    tests.error_of(format('select limena.settle_ai_call(%L, 40, 31, 900)', tests.reserved('first'))),
    'LM002 The reservation was settled with other numbers.', 'one with other numbers is a mistake'
);
select is(
    tests.error_of(format('select limena.release_ai_call(%L)', tests.reserved('first'))),
    'LM002 The reservation was settled.', 'so is releasing it'
);
select limena.settle_ai_call(tests.reserved('second'), 5000, 0, 0, 'failed');
select is(tests.counted(), 'used 5070, reserved 300', 'more than was reserved counts in full');
select is(tests.usage_of('second'), 'failed 5000 0 0 user t', 'a failed call is one, too');

-- Released.
select tests.enter_as('a', 'admin');
select limena.release_ai_call(tests.reserved('third'));
select is(tests.counted(), 'used 5070, reserved 200', 'a release gives back what was reserved');
select limena.release_ai_call(tests.reserved('third'));
select is(tests.counted(), 'used 5070, reserved 200', 'once');
select is(tests.usage_of('third'), 'released 0 0 user t', 'and is on record, as a call of whoever reserved it');
select is(tests.recorded_by('third'), tests.user_id('a', 'admin'), 'with who released it');
select limena.settle_ai_call(tests.reserved('third'), 0, 0, 3);
select is(tests.usage_of('third'), 'succeeded 0 0 3 user t', 'whoever settles it after that says that it was made');
select is(tests.counted(), 'used 5070, reserved 200', 'and what it took counts');

-- Expired.
select tests.clock('9 min 59.999 s');
set local role limena_maintenance;
select is(tests.expire(), null, 'nothing is overdue before ten minutes are over');
select tests.clock('10 min');
select is(tests.expire(), 'false', 'then one tenant has something to expire');
select is(tests.expire(), null, 'once');
select is(tests.counted(), 'used 5070, reserved 0', 'which is free again');
select is(tests.usage_of('fourth'), 'expired 0 0 user t', 'and on record');
select is(tests.recorded_by('fourth'), null, 'as nobody''s doing');
reset role;
select is_empty('select c.* from limena.check_ai_quotas() as c', 'rows, detail and sums agree');
set local role limena_app;
select limena.settle_ai_call(tests.reserved('fourth'), 20, 10, 7);
select is(tests.counted(), 'used 5100, reserved 0', 'a late settlement is accepted, and counts');
select limena.settle_ai_call(tests.reserved('fourth'), 20, 10, 7);
select is(tests.counted(), 'used 5100, reserved 0', 'once');
select is(tests.usage_of('fourth'), 'succeeded 20 10 7 user t', 'in place of what was noted');

-- In the next month.
select tests.enter_as('a', 'member');
select tests.clock('20 days 11 h 59 min');
select tests.reserve('sixth', 1000);
select tests.clock('31 days');
select tests.reserve('seventh', 1);
select is(tests.counted(), 'used 0, reserved 1', 'a new month');
select limena.settle_ai_call(tests.reserved('sixth'), 600, 300, 5);
select is(tests.counted(), 'used 0, reserved 1', 'a late settlement counts in the month of its reservation');
reset role;
select results_eq(
    'select m.used_tokens, m.reserved_tokens from limena.ai_quota_months as m',
    'values (6000::bigint, 0::bigint)',
    'which is closed, and is told'
);
select is_empty('select c.* from limena.check_ai_quotas() as c', 'rows, detail and sums agree');

-- Both switches and a trip stop no settlement.
insert into limena.ai_settings (tenant_id, is_enabled, is_allowed) values (tests.tenant_id('a'), false, false);
set local role limena_app;
select tests.enter_as('a', 'member');
select is(
    limena.settle_ai_call(tests.reserved('seventh'), 1, 1, 1) ->> 'remaining_tokens', '19999998',
    'a call that was made is settled although AI is switched off'
);

-- What was under way when the tenant was frozen was made.
reset role;
update limena.ai_settings set is_enabled = true, is_allowed = true;
set local role limena_app;
select tests.enter_as('a', 'member');
select tests.reserve('eighth', 5);
select tests.enter_with_key('a', 'user');
select tests.reserve('ninth', 5);
reset role;
update limena.tenants set state = 'frozen'
where id = tests.tenant_id('a');
set local role limena_app;
select tests.enter_as('a', 'member');
select is(tests.outcome($$select limena.reserve_ai_call('m', 1)$$), 'LM001', 'a frozen tenant makes no calls');
select is(
    limena.settle_ai_call(tests.reserved('eighth'), 4, 1, 1) ->> 'completion_tokens', '1', 'but settles what it made'
);
select tests.enter_with_key('a', 'reader');
select is(
    tests.outcome(format('select limena.settle_ai_call(%L, 1, 1, 1)', tests.reserved('eighth'))), '42501',
    'which takes ai:use as ever'
);
reset role;
update limena.tenants set state = 'active'
where id = tests.tenant_id('a');

-- A key that was rotated leaves its calls to its successor.
select tests.make_api_key(p_tenant => 'a', p_name => 'heir', p_scopes => '{ai:use}');
set local role limena_app;
select tests.enter_with_key('a', 'heir');
select is(
    tests.outcome(format('select limena.release_ai_call(%L)', tests.reserved('ninth'))), '42501', 'another key''s call'
);
reset role;
update limena.api_keys set replaced_by = tests.api_key_id('a', 'heir'), retires_at = now() + interval '1 hour'
where id = tests.api_key_id('a', 'user');
set local role limena_app;
select tests.enter_with_key('a', 'heir');
select is(
    limena.settle_ai_call(tests.reserved('ninth'), 4, 1, 1) ->> 'outcome',
    'succeeded',
    'is that of the key that replaced it'
);
select is(tests.recorded_by('ninth'), tests.api_key_id('a', 'heir'), 'which is noted');

-- Many are overdue: 500 at a time.
reset role;
insert into limena.ai_reservations (
    tenant_id, id, actor_type, actor_id, model, estimated_tokens, created_at, expires_at
)
select
    tests.tenant_id('a'),
    gen_random_uuid(),
    'user',
    tests.user_id('a', 'member'),
    'many',
    2,
    tests.at('31 days'),
    tests.at('31 days') + interval '5 min'
from generate_series(1, 501);
update limena.ai_quotas set reserved_tokens = reserved_tokens + 1002, expires_at = tests.at('31 days')
where tenant_id = tests.tenant_id('a');
select tests.clock('31 days 6 min');
set local role limena_maintenance;
select is(tests.expire(), 'true', '500 of 501 expire, and one is left');
reset role;
select is(
    (
        select count(*) from limena.ai_reservations as r
        where r.model = 'many' and r.state = 'live'
    ), 1::bigint, '(one)'
);
set local role limena_maintenance;
select is(tests.expire(), 'false', 'for the next time');
reset role;
select results_eq(
    $$select d.outcome, d.calls from limena.ai_usage_days as d where d.model = 'many'$$,
    $$values ('expired', 501::bigint)$$,
    'all are in the day''s sums'
);
select is(tests.counted(), 'used 12, reserved 0', 'and free again');
select is_empty('select c.* from limena.check_ai_quotas() as c', 'rows, detail and sums agree');

-- The truth is found out.
update limena.ai_quotas set used_tokens = used_tokens + 1;
update limena.ai_usage_days set calls = calls + 1
where outcome = 'failed';
set local role limena_maintenance;
select is(
    (select count(*) from limena.check_ai_quotas()), 2::bigint, 'a count and a sum that are wrong are found'
);

-- A week later.
reset role;
update limena.ai_reservations set closed_at = now() - interval '8 days'
where id = tests.reserved('first');
set local role limena_maintenance;
select limena.prune();
reset role;
select is(
    (
        select count(*) from limena.ai_reservations as r
        where r.id = tests.reserved('first')
    ), 0::bigint,
    'a reservation that was closed a week ago goes'
);
select is(
    (
        select count(*) from limena.ai_reservations as r
        where r.id = tests.reserved('second')
    ), 1::bigint,
    'the others stay'
);

select * from finish();
rollback;
