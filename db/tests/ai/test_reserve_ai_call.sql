-- limena.reserve_ai_call(): who may, what is counted, both limits and their trips, retries, the switches. Fails without
-- the function. Races are in api/tests/test_ai_races.py, and all that can happen in a row in test_ai_model.py.
begin;
select plan(62);

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
create function tests.log()
returns text
language sql
security definer
as $$
select string_agg(
    format('%s by %s %s', l.action, l.actor_label, l.details - 'ends_at' - 'limit'), '; ' order by l.seq
)
from limena.audit_logs as l
where l.tenant_id = tests.tenant_id('a') and l.action like 'ai\_quota.%'
$$;

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'user', p_scopes => '{ai:use}');
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{ai:read}');
select tests.clock('0');

-- Who may, and what.
set local role limena_app;
select is(
    tests.outcomes(
        $$select limena.reserve_ai_call('m', 1)$$, '{nobody, viewer, member, admin, owner, user, reader}'
    ),
    'nobody 42501, viewer 42501, member 1, admin 1, owner 1, user 1, reader 42501',
    'ai:use reserves'
);
select tests.enter_as('a', 'member');
select is(tests.error_of(s.statement), s.error, s.statement)
from (
    values
    (
        $$select limena.reserve_ai_call('', 1)$$,
        '22023 must have 1 to 100 letters, digits and ._:/@+- and begin with a letter or a digit; column model'
    ),
    (
        $$select limena.reserve_ai_call('=cmd()', 1)$$,
        '22023 must have 1 to 100 letters, digits and ._:/@+- and begin with a letter or a digit; column model'
    ),
    (
        $$select limena.reserve_ai_call(E'm\n', 1)$$,
        '22023 must have 1 to 100 letters, digits and ._:/@+- and begin with a letter or a digit; column model'
    ),
    (
        $$select limena.reserve_ai_call(null, 1)$$,
        '22023 must have 1 to 100 letters, digits and ._:/@+- and begin with a letter or a digit; column model'
    ),
    ($$select limena.reserve_ai_call('m', 0)$$, '22023 must be from 1 to 10000000; column estimated_tokens'),
    ($$select limena.reserve_ai_call('m', 10000001)$$, '22023 must be from 1 to 10000000; column estimated_tokens'),
    ($$select limena.reserve_ai_call('m', null)$$, '22023 must be from 1 to 10000000; column estimated_tokens'),
    (
        $$select limena.reserve_ai_call('m', 1, '')$$,
        '22023 must have 1 to 255 ASCII characters; column idempotency_key'
    ),
    (
        $$select limena.reserve_ai_call('m', 1, repeat('x', 256))$$,
        '22023 must have 1 to 255 ASCII characters; column idempotency_key'
    )
) as s (statement, error);
reset role;
select is_empty('select from limena.ai_quotas', 'what was refused has left nothing');

-- Granted.
set local role limena_app;
select is(
    limena.reserve_ai_call('m', 300) - 'id',
    jsonb_build_object(
        'state', 'live', 'expires_at', tests.at('10 min'), 'remaining_tokens', 19999700, 'remaining_calls', 499
    ),
    'without settings the defaults count, and a reservation is good for ten minutes'
);
reset role;
select results_eq(
    $$select r.actor_type, r.actor_id, r.model, r.estimated_tokens, r.state, r.created_at, r.expires_at
    from limena.ai_reservations as r$$,
    $$values (
        'user', tests.user_id('a', 'member'), 'm', 300, 'live', tests.at('0'), tests.at('10 min')
    )$$,
    'the reservation'
);
select results_eq(
    'select q.tenant_id, q.as_of, q.calls[1:3], q.used_tokens, q.reserved_tokens from limena.ai_quotas as q',
    $$values (tests.tenant_id('a'), tests.at('0'), '{1,0,0}'::integer[], 0::bigint, 300::bigint)$$,
    'and the count'
);

-- Velocity: two calls at :30, one a minute later, and a limit of three.
insert into limena.ai_settings (tenant_id, calls_per_hour) values (tests.tenant_id('a'), 3);
set local role limena_app;
select tests.clock('29.9 s');
select is(limena.reserve_ai_call('m', 1) ->> 'remaining_calls', '1', 'the second call');
select tests.clock('1 min');
select is(limena.reserve_ai_call('m', 1) ->> 'remaining_calls', '0', 'the third');
select is(tests.log(), null, 'a limit that is just reached is no trip');
select tests.clock('1 min 10 s');
select is(
    limena.reserve_ai_call('m', 1),
    jsonb_build_object('refused', jsonb_build_object(
        'code', 'ai_velocity_exceeded',
        'detail', limena.ai_trip_notice('velocity', now()) ->> 'detail',
        'retry_after', 59 * 60 + 50,
        'notice', limena.ai_trip_notice('velocity', tests.at('1 h 1 min'))
    )),
    'the fourth is one too many: AI is paused until a tenth is free, which is when the first minute has left'
);
select is(
    tests.log(), 'ai_quota.tripped by member@a.example {"cause": "velocity"}', 'which is recorded'
);
select tests.clock('31 min 10.5 s');
select is(
    limena.reserve_ai_call('m', 1) #>> '{refused, retry_after}', '1790',
    'as long as it lasts, with the time that is left, rounded up'
);
select is(
    tests.log(), 'ai_quota.tripped by member@a.example {"cause": "velocity"}', 'which is not recorded again'
);
reset role;
select results_eq(
    $$select o.template, o.recipient, o.parameters - 'until' from limena.outbox as o$$,
    $$values (
        'ai_velocity_tripped', 'owner@a.example',
        '{"limit": 3, "tenant_name": "Tenant a", "display_name": "owner of a"}'::jsonb
    )$$,
    'the owner gets one mail'
);
set local role limena_app;
select tests.enter_as('b', 'owner');
select is(limena.reserve_ai_call('m', 1) ->> 'remaining_calls', '499', 'another tenant goes on');
select tests.enter_as('a', 'admin');
select tests.clock('1 h 59.999 s');
select isnt(limena.reserve_ai_call('m', 1) -> 'refused', null, 'a millisecond too early');
select tests.clock('1 h 1 min');
select is(
    limena.reserve_ai_call('m', 1) ->> 'remaining_calls', '1', 'the pause ends when it was said to: two calls are free'
);
select is(
    tests.log(),
    'ai_quota.tripped by member@a.example {"cause": "velocity"}; '
    'ai_quota.reset by limena {"by": "time", "cause": "velocity"}',
    'by time, which is nobody''s doing'
);
select is(limena.reserve_ai_call('m', 1) ->> 'remaining_calls', '0', 'the other one');
select is(
    limena.reserve_ai_call('m', 1) #>> '{refused, retry_after}', '60',
    'and no more: the call of the second minute still counts, and leaves a minute later'
);

-- The ceiling.
reset role;
delete from limena.ai_usage_days;
delete from limena.ai_reservations;
delete from limena.ai_quotas;
delete from limena.outbox;
insert into limena.outbox (tenant_id, id, template, recipient, parameters)
select
    tests.tenant_id('b'),
    gen_random_uuid(),
    'ai_ceiling_tripped',
    'owner@a.example',
    '{}'
from generate_series(1, 5);
delete from limena.ai_usage_logs;
update limena.ai_settings set calls_per_hour = null, tokens_per_month = 1000;
set local role limena_app;
select is(limena.reserve_ai_call('m', 700) ->> 'remaining_tokens', '300', 'seven tenths');
select is(limena.reserve_ai_call('m', 100) ->> 'remaining_tokens', '200', 'eight');
select is(limena.reserve_ai_call('m', 149) ->> 'remaining_tokens', '51', 'nearly nineteen twentieths');
select is(limena.reserve_ai_call('m', 51) ->> 'remaining_tokens', '0', 'all of it');
select is(
    substring(tests.log() from '(ai_quota.warned.*)$'),
    'ai_quota.warned by admin@a.example {"percent": 80}; ai_quota.warned by admin@a.example {"percent": 95}',
    'with a warning at 80 and at 95 percent'
);
select is(
    tests.error_of($$select limena.reserve_ai_call('m', 1001)$$),
    '22023 must not be above the month''s limit, which is 1000; column estimated_tokens',
    'more than the whole limit never fits'
);
select is(
    limena.reserve_ai_call('m', 1),
    jsonb_build_object('refused', jsonb_build_object(
        'code', 'ai_ceiling_exceeded',
        'detail', 'The call does not fit beside the AI tokens that are used and reserved. A smaller one may.',
        'retry_after', 600,
        'notice', null
    )),
    'one token more is one too many, until the first reservation expires'
);
select is(
    limena.reserve_ai_call('m', 701) #>> '{refused, retry_after}', '600', 'two of them give back at the same time'
);
select is(
    (
        select q.trip_cause from limena.ai_quotas as q
        where q.tenant_id = tests.tenant_id('a')
    ), null,
    'which pauses nothing'
);
reset role;
update limena.ai_quotas set used_tokens = 949, reserved_tokens = 51
where tenant_id = tests.tenant_id('a');
set local role limena_app;
select is(limena.reserve_ai_call('m', 1) #> '{refused, notice}', 'null', 'nor while less than 95 percent were settled');
select is(
    limena.reserve_ai_call('m', 52) #>> '{refused, retry_after}',
    extract(epoch from date_trunc('month', tests.at('31 days'), 'UTC') - tests.at('1 h 1 min'))::bigint::text,
    'what no reservation can give back the month does'
);
reset role;
update limena.ai_quotas set used_tokens = 950, reserved_tokens = 50
where tenant_id = tests.tenant_id('a');
set local role limena_app;
select is(
    limena.reserve_ai_call('m', 1),
    jsonb_build_object('refused', jsonb_build_object(
        'code', 'ai_ceiling_exceeded',
        'detail', limena.ai_trip_notice('ceiling', now()) ->> 'detail',
        'retry_after',
        extract(epoch from date_trunc('month', tests.at('31 days'), 'UTC') - tests.at('1 h 1 min'))::bigint,
        'notice', limena.ai_trip_notice('ceiling', date_trunc('month', tests.at('31 days'), 'UTC'))
    )),
    'with 95 percent of them settled AI pauses, until the month is over'
);
reset role;
select results_eq(
    $q$select tests.lines(
        $$select o.template from limena.outbox as o where o.tenant_id = tests.tenant_id('a')$$
    )$q$,
    array['ai_ceiling_tripped', 'ai_warned', 'ai_warned'],
    'the owner gets a mail each time, however many came of another tenant of theirs'
);
select is(
    (
        select date_trunc('month', tests.at('31 days'), 'UTC') = q.trip_ends_at from limena.ai_quotas as q
        where q.tenant_id = tests.tenant_id('a')
    ),
    true, '(it is the month''s end)'
);
update limena.ai_quotas set used_tokens = 0, reserved_tokens = 1000
where tenant_id = tests.tenant_id('a');
select set_config('tests.clock', (date_trunc('month', tests.at('31 days'), 'UTC'))::text, true);
set local role limena_app;
select is(
    limena.reserve_ai_call('m', 1000) ->> 'remaining_tokens', '0', 'the new month begins with nothing used'
);
reset role;
select results_eq(
    $$select m.month, m.used_tokens, m.reserved_tokens from limena.ai_quota_months as m
    where m.tenant_id = tests.tenant_id('a')$$,
    $$values ((tests.at('0') at time zone 'UTC')::date - 10, 0::bigint, 0::bigint)$$,
    'the old one is closed, and its reservations have expired in it'
);
select is_empty('select c.* from limena.check_ai_quotas() as c', 'rows and detail agree');

-- Retries.
delete from limena.ai_usage_days;
delete from limena.ai_quota_months;
delete from limena.ai_reservations;
delete from limena.ai_quotas;
delete from limena.ai_usage_logs;
select tests.clock('0');
set local role limena_app;
select tests.enter_with_key('a', 'user');
select set_config('tests.answer', limena.reserve_ai_call('m', 400, 'retry 1')::text, true);
select tests.clock('5 min');
select is(
    limena.reserve_ai_call('m', 400, 'retry 1'), current_setting('tests.answer')::jsonb,
    'a retry gets the same reservation'
);
select is(
    limena.reserve_ai_call('m', 400, 'retry 2') ->> 'remaining_tokens', '200', 'another key gets another one'
);
select is(
    tests.error_of($$select limena.reserve_ai_call('m', 401, 'retry 1')$$),
    '22023 was used for another call; column idempotency_key',
    'a key is for one call'
);
select tests.enter_as('a', 'member');
select is(
    limena.reserve_ai_call('m', 1, 'retry 1') ->> 'remaining_tokens', '199', 'and one caller''s'
);
select set_config('tests.mine', limena.reserve_ai_call('m', 199) ->> 'id', true);
select limena.settle_ai_call(current_setting('tests.mine')::uuid, 960, 0, 1);
select isnt(limena.reserve_ai_call('m', 1000) #> '{refused, notice}', 'null', 'AI is paused');
select tests.enter_with_key('a', 'user');
select is(
    limena.reserve_ai_call('m', 400, 'retry 1') ->> 'id', current_setting('tests.answer')::jsonb ->> 'id',
    'a retry still gets its reservation'
);
select is(
    limena.reserve_ai_call('m', 1, 'retry 3') #>> '{refused, code}', 'ai_ceiling_exceeded', 'a new call does not'
);

-- The switches.
reset role;
update limena.ai_settings set is_enabled = false;
set local role limena_app;
select is(
    tests.error_of($$select limena.reserve_ai_call('m', 1)$$), 'LM003 AI is switched off', 'the tenant''s switch'
);
reset role;
update limena.ai_settings set is_enabled = true, is_allowed = false;
update limena.ai_quotas set trip_cause = null, tripped_at = null, trip_ends_at = null;
set local role limena_app;
select is(
    tests.error_of($$select limena.reserve_ai_call('m', 1, 'retry 1')$$), 'LM003 AI is switched off',
    'the platform''s, for retries too'
);

-- A pause that ends between two readings of the clock, each of which is a second later.
reset role;
update limena.ai_settings set is_allowed = true;
update limena.ai_quotas
set trip_cause = 'velocity', trip_ends_at = tests.at('7 min 1.5 s'), as_of = tests.at('7 min'), used_tokens = 0
where tenant_id = tests.tenant_id('a');
create sequence tests.ticks;
grant usage on sequence tests.ticks to limena_owner;
create or replace function limena.ai_clock()
returns timestamptz
language sql
security definer
as $$ select tests.at('7 min') + nextval('tests.ticks') * interval '1 second' $$;
set local role limena_app;
select is(
    limena.reserve_ai_call('m', 1) - '{id, expires_at, remaining_tokens, remaining_calls}'::text[],
    '{"state": "live"}'::jsonb,
    'a pause that has just ended is no refusal without a cause'
);

-- A clock that was a month ahead, and is right again.
reset role;
create or replace function limena.ai_clock()
returns timestamptz
language sql
as $$ select current_setting('tests.clock')::timestamptz $$;
delete from limena.ai_settings;
delete from limena.ai_usage_days;
delete from limena.ai_usage_logs;
delete from limena.ai_reservations;
delete from limena.ai_quota_months;
delete from limena.ai_quotas;
set local role limena_app;
select tests.enter_as('a', 'member');
select tests.clock('0');
select set_config('tests.mine', limena.reserve_ai_call('m', 100) ->> 'id', true);
select limena.settle_ai_call(current_setting('tests.mine')::uuid, 70, 0, 1);
select limena.reserve_ai_call('m', 30);
select tests.clock('31 days');
select set_config('tests.mine', limena.reserve_ai_call('m', 200) ->> 'id', true);
select limena.settle_ai_call(current_setting('tests.mine')::uuid, 150, 0, 1);
select limena.reserve_ai_call('m', 40);
select tests.clock('1 min');
select is(
    tests.error_of($$select limena.reserve_ai_call('m', 1)$$), 'LM006 the clock was ahead', 'there is no right count'
);
reset role;
select set_config('tests.tenant', tests.tenant_id('a')::text, true);
set local role limena_maintenance;
select is(
    tests.error_of($$select limena.recount_ai_quota(current_setting('tests.tenant')::uuid, ' ')$$),
    '22023 must say why, in 3 to 500 characters; column reason', 'counting anew takes a reason'
);
select is(
    tests.error_of($$select limena.recount_ai_quota(gen_random_uuid(), 'the clock')$$), 'P0002 no such quota',
    'and a quota'
);
select limena.recount_ai_quota(current_setting('tests.tenant')::uuid, 'the clock');
reset role;
select results_eq(
    $$select q.used_tokens, q.reserved_tokens, q.recent_calls, q.calls[1:2], q.expires_at from limena.ai_quotas as q$$,
    $$values (220::bigint, 40::bigint, 4, '{2,2}'::integer[], tests.at('11 min'))$$,
    'all that was counted counts now; what expired meanwhile has'
);
select is_empty('select c.* from limena.check_ai_quotas() as c', 'rows, detail and sums agree');
select is(
    substring(tests.log() from '[^;]*$'),
    format(
        ' ai_quota.recounted by limena {"reason": "the clock", "counted_up_to": %s}',
        to_jsonb(tests.at('31 days'))
    ),
    'it is on record'
);
set local role limena_app;
select tests.enter_as('a', 'member');
select is(limena.reserve_ai_call('m', 1) ->> 'state', 'live', 'and calls go on');

select * from finish();
rollback;
