-- limena.check_ai_quotas(): every way in which counters, detail and sums can part is found, and said of whose they are.
-- Fails without any branch of it.
begin;
select plan(18);

-- A clock that stands still in the month after next, for which there are partitions, as for the two before.
create function tests.at(p_after interval)
returns timestamptz
language sql
as $$
select (date_trunc('month', now() at time zone 'UTC') + interval '2 months 10 days 12 hours') at time zone 'UTC' + p_after
$$;
create or replace function limena.ai_clock()
returns timestamptz
language sql
as $$ select tests.at('0') $$;

-- What is found after a statement, which leaves nothing behind.
create function tests.found_after(p_statement text)
returns text
language plpgsql
as $$
declare
    v_found text;
begin
    execute p_statement;
    select string_agg(
        (case c.tenant_id when tests.tenant_id('a') then 'a ' when tests.tenant_id('b') then 'b ' end)
        || regexp_replace(c.finding, '[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9:+]+)?', 'D'), '; '
        order by c.tenant_id, c.finding collate "C"
    ) into v_found
    from limena.check_ai_quotas() as c;
    raise raise_exception using message = coalesce(v_found, 'nothing');
exception
    when raise_exception then return sqlerrm;
end;
$$;

-- Two tenants with a call settled this month, one last month, one two months ago, and a live reservation of each of the
-- first two.
select tests.make_tenants();
insert into limena.ai_quotas (tenant_id, as_of, calls, recent_calls, used_tokens, reserved_tokens)
select
    tests.tenant_id(v.tenant),
    tests.at('0'),
    array_fill(1, array[61]),
    61,
    70,
    30
from (values ('a'), ('b')) as v (tenant);
insert into limena.ai_quota_months (tenant_id, month, used_tokens, reserved_tokens)
select
    q.tenant_id,
    date_trunc('month', tests.at(make_interval(months => -m.ago)) at time zone 'UTC')::date,
    70,
    case m.ago when 1 then 30 else 0 end
from limena.ai_quotas as q
cross join generate_series(1, 2) as m (ago);
insert into limena.ai_usage_logs (
    tenant_id, occurred_at, id, actor_type, actor_id, model, outcome, prompt_tokens, completion_tokens, latency_ms,
    recorded_at
)
select
    q.tenant_id,
    tests.at(make_interval(months => -m.ago)),
    tests.id('call', m.ago::text),
    'user',
    tests.user_id('a', 'owner'),
    'm',
    'succeeded',
    40,
    30,
    900,
    tests.at('0')
from limena.ai_quotas as q
cross join generate_series(0, 2) as m (ago);
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
    40,
    30,
    900
from limena.ai_usage_logs as l;
insert into limena.ai_reservations (
    tenant_id, id, actor_type, actor_id, model, estimated_tokens, created_at, expires_at
)
select
    q.tenant_id,
    tests.id('reservation', m.ago::text),
    'user',
    tests.user_id('a', 'owner'),
    'm',
    30,
    tests.at(make_interval(months => -m.ago)),
    tests.at('10 min')
from limena.ai_quotas as q
cross join generate_series(0, 1) as m (ago);

create function tests.of_a(p_statement text)
returns text
language sql
as $$ select tests.found_after(p_statement || format(' and tenant_id = %L', tests.tenant_id('a'))) $$;

select is(tests.of_a(s.statement), s.found, s.statement)
from (
    values
    ('select from limena.ai_quotas where true', 'nothing'),
    (
        'update limena.ai_quotas set used_tokens = 71 where true',
        'a D: counts 71 tokens as used, the detail has 70'
    ),
    (
        'update limena.ai_quotas set reserved_tokens = 29 where true',
        'a D: counts 29 tokens as reserved, the detail has 30'
    ),
    (
        'update limena.ai_quota_months set used_tokens = used_tokens + 1 where reserved_tokens > 0',
        'a D: counts 71 tokens as used, the detail has 70'
    ),
    (
        'update limena.ai_quota_months set reserved_tokens = 0 where true',
        'a D: counts 0 tokens as reserved, the detail has 30'
    ),
    (
        'update limena.ai_reservations set estimated_tokens = 31 where created_at = tests.at(''0'')',
        'a D: counts 30 tokens as reserved, the detail has 31'
    ),
    (
        'delete from limena.ai_quota_months where true',
        'a D: has tokens in the detail and no count; a D: has tokens in the detail and no count'
    ),
    (
        'update limena.ai_usage_logs set prompt_tokens = 41 where occurred_at = tests.at(''0'')',
        'a D: counts 70 tokens as used, the detail has 71; a D: the sums by day are not those of the detail'
    ),
    (
        'delete from limena.ai_usage_logs where occurred_at = tests.at(''-1 month'')',
        'a D: counts 70 tokens as used, the detail has 0; a D: the sums by day are not those of the detail'
    ),
    (
        'update limena.ai_usage_logs set model = ''n'' where occurred_at = tests.at(''0'')',
        'a D: the sums by day are not those of the detail; a D: the sums by day are not those of the detail'
    ),
    (
        'update limena.ai_usage_days set calls = 2 where day >= date_trunc(''month'', tests.at(''0''))',
        'a D: the sums by day are not those of the detail'
    ),
    (
        'update limena.ai_usage_days set latency_ms = 0 where day >= date_trunc(''month'', tests.at(''0''))',
        'a D: the sums by day are not those of the detail'
    ),
    (
        'delete from limena.ai_usage_days where day >= date_trunc(''month'', tests.at(''0''))',
        'a D: the sums by day are not those of the detail'
    ),
    ('update limena.ai_quotas set recent_calls = 60 where true', 'a counts 60 calls, the minutes have 61'),
    (
        'update limena.ai_quotas set as_of = tests.at(''61 s'') where true',
        'a has counted up to D, which is yet to come: the clock was wrong'
    ),
    ('update limena.ai_quotas set as_of = tests.at(''1 min'') where true', 'nothing'),
    -- Older months are not looked at: their detail may be gone (drop_ai_usage()).
    ('delete from limena.ai_usage_logs where occurred_at < tests.at(''-45 days'')', 'nothing')
) as s (statement, found);
select is(
    tests.found_after('update limena.ai_quotas set used_tokens = 0'),
    'a D: counts 0 tokens as used, the detail has 70; b D: counts 0 tokens as used, the detail has 70', 'of each tenant'
);

select * from finish();
rollback;
