-- Warnings at 80 and 95 percent of the month's tokens: each once a month, also where the count falls below and rises
-- above again. Fails without limena_private.warn_ai_quota(), or without the memory of what was said.
begin;
select plan(8);

-- A clock that a test sets: from a day of next month on.
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
create function tests.warned()
returns text
language sql
security definer
as $$
select string_agg(l.details ->> 'percent', ' ' order by l.seq)
from limena.audit_logs as l
where l.tenant_id = tests.tenant_id('a') and l.action = 'ai_quota.warned'
$$;
-- Reserves, and returns what was warned of until then.
create function tests.reserve(p_name text, p_tokens integer)
returns text
language plpgsql
as $$
begin
    perform set_config('tests.' || p_name, limena.reserve_ai_call('m', p_tokens) ->> 'id', true);
    return tests.warned();
end;
$$;
create function tests.reserved(p_name text)
returns uuid
language sql
as $$ select current_setting('tests.' || p_name)::uuid $$;

select tests.make_tenants();
insert into limena.ai_settings (tenant_id, tokens_per_month) values (tests.tenant_id('a'), 1000);
select tests.clock('0');
set local role limena_app;
select tests.enter_as('a', 'owner');

select is(tests.reserve('first', 799), null, 'one token less is no reason');
select is(tests.reserve('second', 1), '80', 'at 80 percent, reserved tokens included');
select limena.release_ai_call(tests.reserved('first'));
select is(tests.reserve('third', 800), '80', 'once, however often it is reached');
select limena.settle_ai_call(tests.reserved('third'), 949, 0, 1);
select is(tests.warned(), '80 95', 'at 95 percent, when a call is settled too');
select tests.clock('11 min');
select is(tests.reserve('fourth', 30), '80 95', 'once as well');

select tests.clock('31 days');
select is(tests.reserve('fifth', 850), '80 95 80', 'another month has its own');
select tests.clock('62 days');
select is(tests.reserve('sixth', 960), '80 95 80 95', 'of two at once the higher one alone');
select limena.release_ai_call(tests.reserved('sixth'));
select is(tests.reserve('seventh', 850), '80 95 80 95', 'and the lower one never after it');

select * from finish();
rollback;
