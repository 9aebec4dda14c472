-- limena_private.summed_model(): a day of a tenant has a thousand sums at most and one of (other) for each caller and
-- outcome, whatever callers name their models, and each call is in one of them. Fails without it, where a call is taken
-- out of another sum than it was put into, or where counting anew (recount_ai_quota()) knows no bound.
begin;
select plan(25);

-- A clock that a test sets: a day of next month.
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
-- One call: reserved, and settled with ten tokens unless it is left.
create function tests.call(p_model text, p_outcome text default 'succeeded')
returns text
language plpgsql
as $$
declare
    v_id uuid := (limena.reserve_ai_call(p_model, 10) ->> 'id')::uuid;
begin
    if p_outcome = 'released' then
        perform limena.release_ai_call(v_id);
    elsif p_outcome in ('succeeded', 'failed') then
        perform limena.settle_ai_call(v_id, 10, 0, 1, p_outcome);
    end if;
    return set_config('tests.' || p_model, v_id::text, true);
end;
$$;
create function tests.settle(p_model text)
returns jsonb
language sql
as $$ select limena.settle_ai_call(current_setting('tests.' || p_model)::uuid, 10, 0, 1) $$;
-- The member's sums but those that were there before.
create function tests.sums()
returns text
language sql
security definer
as $$
select string_agg(format('%s %s %s', d.model, d.outcome, d.calls), ', ' order by d.model collate "C", d.outcome)
from limena.ai_usage_days as d
where d.tenant_id = tests.tenant_id('a') and d.model !~ '^old' and d.calls > 0
$$;
create function tests.found()
returns bigint
language sql
security definer
as $$ select count(*) from limena.check_ai_quotas() $$;

-- 998 sums, each of one call of a model of its own.
select tests.make_tenants();
select tests.clock('0');
insert into limena.ai_quotas (tenant_id, as_of, used_tokens)
select
    tests.tenant_id(v.tenant),
    tests.at('-1 h'),
    v.tokens
from (values ('a', 998), ('b', 0)) as v (tenant, tokens);
insert into limena.ai_usage_logs (
    tenant_id, occurred_at, id, actor_type, actor_id, model, outcome, prompt_tokens, recorded_at
)
select
    tests.tenant_id('a'),
    tests.at('-1 h'),
    tests.id('old', n::text),
    'user',
    tests.user_id('a', 'owner'),
    'old' || n,
    'succeeded',
    1,
    tests.at('0')
from generate_series(1, 998) as n;
insert into limena.ai_usage_days (
    tenant_id, day, actor_type, actor_id, model, outcome, calls, prompt_tokens, completion_tokens, latency_ms
)
select
    l.tenant_id,
    (l.occurred_at at time zone 'UTC')::date,
    l.actor_type,
    l.actor_id,
    l.model,
    l.outcome,
    1,
    1,
    0,
    0
from limena.ai_usage_logs as l;

set local role limena_app;
select tests.enter_as('a', 'owner');
select tests.call('m1');
select is(tests.sums(), 'm1 succeeded 1', 'there is room for one');
select tests.call('m2', 'released');
select is(tests.sums(), 'm1 succeeded 1, m2 released 1', 'and another');
select tests.call('m3');
select is(tests.sums(), '(other) succeeded 1, m1 succeeded 1, m2 released 1', 'and for no more');
select tests.call('m3');
select tests.call('m1');
select tests.call('old7');
select is(
    tests.sums(), '(other) succeeded 2, m1 succeeded 2, m2 released 1', 'what has a sum of its own goes on to have it'
);
select tests.call('m1', 'failed');
select is(
    tests.sums(), '(other) failed 1, (other) succeeded 2, m1 succeeded 2, m2 released 1', 'each outcome is one sum'
);
select is(tests.found(), 0::bigint, 'sums and detail agree');

-- In and out.
select tests.call('m4', 'released');
select is(
    tests.sums(), '(other) failed 1, (other) released 1, (other) succeeded 2, m1 succeeded 2, m2 released 1',
    'a release is added up with the others'
);
select tests.settle('m4');
select is(
    tests.sums(), '(other) failed 1, (other) succeeded 3, m1 succeeded 2, m2 released 1', 'and taken out of there again'
);
select tests.settle('m2');
select is(
    tests.sums(), '(other) failed 1, (other) succeeded 4, m1 succeeded 2', 'as one is that had a sum of its own'
);
select is(tests.found(), 0::bigint, 'sums and detail agree');
select tests.call('m2', 'released');
select is(
    tests.sums(), '(other) failed 1, (other) succeeded 4, m1 succeeded 2, m2 released 1',
    'a sum of no calls is still there'
);

-- Expiry, of several at once.
select tests.call('m5', 'left');
select tests.call('m6', 'left');
select tests.call('m1', 'left');
select tests.clock('11 min');
set local role limena_maintenance;
select limena.expire_reservations(d.tenant_id) from limena.due_ai_quotas() as d (tenant_id);
set local role limena_app;
select is(
    tests.sums(), '(other) expired 3, (other) failed 1, (other) succeeded 4, m1 succeeded 2, m2 released 1',
    'what expires together is one sum'
);
select is(tests.found(), 0::bigint, 'sums and detail agree');
select tests.settle('m6');
select tests.settle('m1');
select is(
    tests.sums(), '(other) expired 1, (other) failed 1, (other) succeeded 5, m1 succeeded 3, m2 released 1',
    'and is taken apart again'
);
select is(tests.found(), 0::bigint, 'sums and detail agree');

-- What is shown.
select is(
    (limena.list_ai_usage('model', p_limit => 1)::jsonb #>> '{items,0,key}')
    || ' ' || (limena.list_ai_usage('model', p_limit => 1)::jsonb #>> '{items,0,calls}'),
    '(other) 7', 'models without a sum of their own, together'
);
select is(
    limena.list_ai_usage('model', p_limit => 1, p_after => limena.list_ai_usage('model', p_limit => 1) ->> 'next')
    #>> '{items,0,key}',
    'm1', 'and the list goes on after them'
);
select is(tests.error_of($$select limena.reserve_ai_call('(other)', 1)$$) ~ '^22023', true, 'no model is called that');

-- Elsewhere there is room, and what is wrong is found.
select tests.enter_as('b', 'owner');
select tests.call('m3');
reset role;
select is(
    (
        select d.model from limena.ai_usage_days as d
        where d.tenant_id = tests.tenant_id('b')
    ), 'm3', 'another tenant has its own thousand'
);

-- Counting anew: the thousand that came first, and those of (other).
select set_config('tests.tenant', tests.tenant_id('a')::text, true);
set local role limena_maintenance;
select limena.recount_ai_quota(current_setting('tests.tenant')::uuid, 'the clock');
reset role;
select is(
    (
        select count(*) from limena.ai_usage_days as d
        where d.tenant_id = tests.tenant_id('a') and d.model <> '(other)'
    ), 1000::bigint, 'counted anew, a day has a thousand sums'
);
select is(
    tests.sums(), '(other) expired 1, (other) released 1, (other) succeeded 5, m1 failed 1, m1 succeeded 3',
    'and the others together'
);
select is(tests.found(), 0::bigint, 'sums and detail agree');
set local role limena_app;
select tests.enter_as('a', 'owner');
select tests.settle('m5');
select tests.call('m7');
reset role;
select is(
    tests.sums(), '(other) released 1, (other) succeeded 7, m1 failed 1, m1 succeeded 3', 'it goes on like that'
);
select is(tests.found(), 0::bigint, 'sums and detail agree');

update limena.ai_usage_days set calls = calls + 1
where model = '(other)' and outcome = 'released';
select is(tests.found(), 1::bigint, 'a sum of the others that is wrong is found');

select * from finish();
rollback;
