-- limena.drop_ai_usage(): months of AI calls go as a whole, when they are long past and nothing of them can change any
-- more, and the sums stay; a clock that is ahead takes none, or one. Fails without the function, or without any of its
-- conditions. (Who reads meanwhile, and two workers at once: api/tests/test_worker.py.)
begin;
select plan(29);

-- A clock that a test sets: from the beginning of this month, for which there is a partition, as for the next seven.
create function tests.month(p_ahead integer default 0)
returns timestamptz
language sql
as $$
select (date_trunc('month', now() at time zone 'UTC') + make_interval(months => p_ahead)) at time zone 'UTC'
$$;
create or replace function limena.ai_clock()
returns timestamptz
language sql
as $$ select current_setting('tests.clock')::timestamptz $$;
create function tests.clock(p_at timestamptz)
returns text
language sql
as $$ select set_config('tests.clock', p_at::text, true) $$;
create function tests.months()
returns text
language sql
as $$
select string_agg(right(c.relname, 7), ' ' order by c.relname)
from pg_inherits as i
inner join pg_class as c on i.inhrelid = c.oid
where i.inhparent = 'limena.ai_usage_logs'::regclass
$$;
create function tests.name_of(p_month timestamptz)
returns text
language sql
as $$ select to_char(p_month at time zone 'UTC', 'YYYY-MM') $$;
-- A call, settled, and in the sums.
create function tests.call(p_tenant text, p_at timestamptz, p_tokens integer default 0)
returns void
language sql
as $$
with call as (
    insert into limena.ai_usage_logs (
        tenant_id, occurred_at, id, actor_type, actor_id, model, outcome, prompt_tokens, recorded_at
    )
    values (
        tests.tenant_id(p_tenant), p_at, gen_random_uuid(), 'user', tests.user_id(p_tenant, 'owner'), 'm', 'succeeded',
        p_tokens, p_at
    )
    returning *
)

insert into limena.ai_usage_days (
    tenant_id, day, actor_type, actor_id, model, outcome, calls, prompt_tokens, completion_tokens, latency_ms
)
select
    c.tenant_id,
    (c.occurred_at at time zone 'UTC')::date,
    c.actor_type,
    c.actor_id,
    c.model,
    c.outcome,
    1,
    c.prompt_tokens,
    0,
    0
from call as c
$$;

-- A call of this month in tenant a, and one of each of the next three in tenant b.
select tests.make_tenants();
select limena.ensure_partitions(7);
insert into limena.ai_quotas (tenant_id, as_of)
select
    tests.tenant_id(v.tenant),
    tests.month(4)
from (values ('a'), ('b')) as v (tenant);
insert into limena.ai_quota_months (tenant_id, month, used_tokens, reserved_tokens)
select
    tests.tenant_id(v.tenant),
    (tests.month(v.month) at time zone 'UTC')::date,
    7,
    0
from (values ('a', 0), ('b', 1)) as v (tenant, month);
select tests.call('a', tests.month(1) - interval '1 microsecond', 7);
select tests.call('b', tests.month(1), 7);
select tests.call('b', tests.month(m.ahead)) from generate_series(2, 3) as m (ahead);
insert into limena.ai_reservations (
    tenant_id, id, actor_type, actor_id, model, estimated_tokens, state, created_at, expires_at, closed_at
)
select
    l.tenant_id,
    l.id,
    l.actor_type,
    l.actor_id,
    l.model,
    9,
    'settled',
    l.occurred_at as created_at,
    l.occurred_at as expires_at,
    l.occurred_at as closed_at
from limena.ai_usage_logs as l
where l.prompt_tokens > 0;
select set_config('tests.before', tests.months(), true);

-- Not yet.
set local timezone = 'America/Los_Angeles';
select is(
    pg_get_function_arguments('limena.drop_ai_usage'::regproc), 'p_months integer DEFAULT 24', '24 months unless told'
);
select tests.clock(tests.month(4));
select tests.call('b', tests.month(4));
set local role limena_maintenance;
select is(limena.drop_ai_usage(3), null, 'what is over waits for a reservation of the month, closed or not');
reset role;
select is(tests.months(), current_setting('tests.before'), 'everything is there');
delete from limena.ai_reservations as r
where r.tenant_id = tests.tenant_id('a');
update limena.ai_reservations as r
set created_at = tests.month(1) - interval '1 microsecond'
where r.tenant_id = tests.tenant_id('b');
set local role limena_maintenance;
select is(limena.drop_ai_usage(3), null, 'of any tenant');
reset role;
update limena.ai_reservations as r set created_at = tests.month(1)
where r.tenant_id = tests.tenant_id('b');
set local role limena_maintenance;
select is(limena.drop_ai_usage(4), null, 'as many full months as are said have to be over');
select tests.clock(tests.month(4) - interval '1 microsecond');
select is(limena.drop_ai_usage(3), null, 'to the microsecond');

-- A clock that is ahead, of a platform that has calls of four months.
reset role;
delete from limena.ai_usage_logs as l
where l.occurred_at = tests.month(4);
delete from limena.ai_usage_days as d
where d.day = (tests.month(4) at time zone 'UTC')::date;
select tests.clock(tests.month(60));
set local role limena_maintenance;
select is(limena.drop_ai_usage(m.months), null, format('no month goes by the clock alone, of %s', m.months))
from (values (3), (24)) as m (months);
reset role;
select is(tests.months(), current_setting('tests.before'), 'everything is there');
select tests.clock(tests.month(7));
select tests.call('b', tests.month(7));
select tests.call('b', tests.month(7) + interval '1 day');

-- Now: by a call in the fifth month, whether it was right or not.
set local role limena_maintenance;
select is(limena.drop_ai_usage(3), tests.name_of(tests.month()), 'the oldest month goes, and it says which');
select is(limena.drop_ai_usage(3), null, 'the next one does not, however far ahead the clock is');
select tests.clock(tests.month(60));
select is(limena.drop_ai_usage(3), null, 'or goes');
select tests.clock(tests.month(4));
select is(limena.drop_ai_usage(3), null, 'nor with the clock set right');
reset role;
select is(tests.months(), substr(current_setting('tests.before'), 9), 'one month of all');
select is(
    to_regclass('limena.ai_usage_logs_' || to_char(tests.month() at time zone 'UTC', 'YYYY_MM')),
    null,
    'no table is left'
);
select is_empty(
    $$select l.id from limena.ai_usage_logs as l where l.tenant_id = tests.tenant_id('a')$$, 'with its calls'
);
select is((select sum(d.calls) from limena.ai_usage_days as d), 6::numeric, 'the sums by day stay');
select is((select count(*) from limena.ai_quota_months), 2::bigint, 'and those by month');
select
    is_empty(
        'select * from limena.check_ai_quotas()', 'the counters are those of the detail'
    );
select results_eq(
    $$select l.actor_type, l.details from limena.audit_logs as l
    where l.tenant_id = limena_private.platform_tenant_id() and l.action = 'ai_usage.removed'$$,
    $$values ('system', jsonb_build_object('month', tests.name_of(tests.month()), 'kept_months', 3))$$,
    'the platform''s log has it, once'
);
set local role limena_app;
select tests.enter_as('a', 'admin');
select is(
    (
        select count(*)
        from jsonb_array_elements(limena.list_audit_logs(p_action => 'ai_usage.removed')::jsonb -> 'items')
    ),
    1::bigint, 'and each tenant reads it in its own'
);

-- Months behind: each call takes one, and what is yet to come does not count.
reset role;
delete from limena.ai_reservations;
select tests.clock(tests.month(6) - interval '1 microsecond');
select tests.call('b', tests.month(m.ahead)) from generate_series(4, 6) as m (ahead);
set local role limena_maintenance;
select is(limena.drop_ai_usage(3), tests.name_of(tests.month(1)), 'the next');
select is(limena.drop_ai_usage(3), null, 'not by calls that are yet to come');
select tests.clock(tests.month(6));
select is(limena.drop_ai_usage(3), tests.name_of(tests.month(2)), 'and the next');

-- What it refuses.
select
    is(
        tests.error_of(format('select limena.drop_ai_usage(%L)', w.months)),
        '22023 must be from 3 to 120; column months',
        format('%s months', coalesce(w.months::text, 'NULL'))
    )
from (values (null), (2), (121), (-2147483648)) as w (months);
set local role limena_app;
select is(tests.outcome('select limena.drop_ai_usage(3)'), '42501', 'not for limena_app');

select * from finish();
rollback;
