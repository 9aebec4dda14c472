-- limena.claim_mail() and limena.settle_mail(): mail that is due, leased; and what becomes of it. That two workers at
-- once share it out is in api/tests/test_authentication_races.py. Fails without the functions.
begin;
select plan(37);

select tests.make_tenants();
create function pg_temp.mail(p_name text, p_due_at timestamptz default now(), p_tenant text default 'a')
returns void
language sql
as $$
insert into limena.outbox (tenant_id, id, template, recipient, parameters, due_at)
values (tests.tenant_id(p_tenant), tests.id('mail', p_name), p_name, p_name || '@x.example', jsonb_build_object('name', p_name), p_due_at)
$$;
create function pg_temp.claimed(p_limit integer default 10)
returns text
language sql
as $$
select string_agg(c.template || ' ' || c.attempts, ', ' order by c.template)
from limena.claim_mail(p_limit) as c
$$;
create function pg_temp.settle(
    p_name text, p_is_delivered boolean, p_is_final boolean default false, p_tenant text default 'a'
)
returns void
language sql
as $$ select limena.settle_mail(tests.tenant_id(p_tenant), tests.id('mail', p_name), p_is_delivered, p_is_final) $$;
-- Time passes.
create function pg_temp.wait(p_time interval)
returns void
language sql
security definer
as $$ update limena.outbox set due_at = due_at - p_time $$;
-- When it is due, and what became of it.
create function pg_temp.state(p_name text)
returns text
language sql
security definer
as $$
select concat_ws(
    ' ', o.attempts, round(extract(epoch from o.due_at - clock_timestamp()) / 60) || ' min',
    case when o.delivered_at is not null then 'delivered' end, case when o.abandoned_at is not null then 'abandoned' end
)
from limena.outbox as o
where o.id = tests.id('mail', p_name)
$$;
create function pg_temp.tries(p_number integer)
returns text
language plpgsql
as $$
declare
    v_states text[] := '{}';
begin
    for i in 1..p_number loop
        perform pg_temp.wait('1 day');
        if pg_temp.claimed() is null then
            return array_to_string(v_states || 'none'::text, ', ');
        end if;
        perform pg_temp.settle('five', false);
        v_states := v_states || pg_temp.state('five');
    end loop;
    return array_to_string(v_states, ', ');
end;
$$;
select
    pg_temp.mail('one', now() - interval '3 minutes'),
    pg_temp.mail('two', now() - interval '2 minutes', 'b'),
    pg_temp.mail('three', now() - interval '1 minute'),
    pg_temp.mail('later', now() + interval '2 minutes');
create temporary table logged as select l.id from limena.audit_logs as l;

-- Claimed.
set local role limena_maintenance;
select results_eq(
    'select * from limena.claim_mail(1)',
    $$values (tests.tenant_id('a'), tests.id('mail', 'one'), 'one', 'one@x.example', '{"name": "one"}'::jsonb, 1)$$,
    'what has been due for longest, with all that a mail needs'
);
select is(
    pg_temp.claimed(), 'three 1, two 1', 'the rest of what is due, of every tenant; what another has is not there'
);
select is(pg_temp.claimed(), null, 'nothing twice, nothing that is not due');
select is(pg_temp.state('one'), '1 5 min', 'the lease is of five minutes');
select pg_temp.wait('3 minutes');
select is(pg_temp.claimed(), 'later 1', 'what was not yet due is by then');
select pg_temp.wait('2 minutes');
select is(pg_temp.claimed(), 'one 2, three 2, two 2', 'and who claimed the others has died: sent at least once');
select
    is(
        tests.error_of(format('select limena.claim_mail(%s)', l)),
        '22023 must be from 1 to 200; column limit',
        l || ' at a time'
    )
from unnest(array['0', '201', 'null']) as l;

-- Delivered.
select pg_temp.settle('one', true);
select is(pg_temp.state('one') ~ 'delivered$', true, 'delivered');
select pg_temp.settle('one', false);
select is(pg_temp.state('one') ~ 'delivered$', true, 'is delivered, whatever a slow worker says later');
select pg_temp.settle('one', false, true);
select is(pg_temp.state('one') ~ 'delivered$', true, 'for good');
-- Of another tenant, or none.
select pg_temp.settle('two', true);
select is(pg_temp.state('two') ~ 'delivered', false, 'a mail is found by its tenant and id together');
select pg_temp.settle('two', true, p_tenant => 'b');
select is(pg_temp.state('two') ~ 'delivered$', true, 'by both');
select lives_ok($$select pg_temp.settle('none', true)$$, 'one that is gone is no error');
-- Refused for good.
select pg_temp.settle('later', false, true);
select is(pg_temp.state('later') ~ 'abandoned$', true, 'what was refused for good is not tried again');
select pg_temp.settle('later', true);
select is(pg_temp.state('later') ~ 'delivered', false, 'and stays so');

-- Tried again, later and later.
select pg_temp.settle('three', true);
reset role;
select pg_temp.mail('five');
set local role limena_maintenance;
select is(
    pg_temp.tries(20),
    '1 1 min, 2 2 min, 3 4 min, 4 8 min, 5 16 min, 6 32 min, 7 64 min, 8 128 min, 9 256 min, 10 360 min, 11 360 min, '
    '12 360 min abandoned, none',
    'a minute, then twice as long, at most six hours; after twelve attempts it is abandoned'
);
reset role;
select is_empty(
    $$select l.id from limena.audit_logs as l
    where l.id not in (select g.id from logged as g) and l.action <> 'mail.created'$$,
    'the log is not told of each try'
);

-- Of two that wait, the one that has waited longest goes first; more than there is is no error.
select
    pg_temp.mail('seven', now() - interval '1 hour'),
    pg_temp.mail('six', now() - interval '2 hours');
set local role limena_maintenance;
select is(pg_temp.claimed(1), 'six 1', 'the oldest first');
select is(pg_temp.claimed(200), 'seven 1', 'as many as there are');
select lives_ok(
    $$select limena.settle_mail(tests.tenant_id('a'), tests.id('mail', 'six'), null)$$, 'a result that is none'
);
select is(pg_temp.state('six') ~ '(delivered|abandoned)', false, 'is a failure that is tried again');

-- A worker sees the mail it claimed and nothing else.
select is(tests.outcome(s.statement), '42501', s.statement)
from (
    values
    ('select from limena.outbox'),
    ('select recipient from limena.outbox'),
    ('update limena.outbox set due_at = now()'),
    ('delete from limena.outbox'),
    ('insert into limena.outbox (tenant_id, id, template, recipient) values (null, null, null, null)')
) as s (statement);
set local role limena_app;
select is(tests.outcome(s.statement), '42501', 'not for limena_app: ' || s.statement)
from (values ('select limena.claim_mail()'), ('select limena.settle_mail(null, null, true)')) as s (statement);
set local role limena_auth;
select is(tests.outcome(s.statement), '42501', 'nor for limena_auth: ' || s.statement)
from (values ('select limena.claim_mail()'), ('select limena.settle_mail(null, null, true)')) as s (statement);
set local role limena_readonly;
select is(tests.outcome(s.statement), '42501', 'nor for limena_readonly: ' || s.statement)
from (values ('select limena.claim_mail()'), ('select limena.settle_mail(null, null, true)')) as s (statement);

-- A link after its time would lead nowhere.
reset role;
delete from limena.outbox;
select
    pg_temp.mail('over', now() - interval '1 minute'),
    pg_temp.mail('fresh', now() - interval '1 minute');
update limena.outbox
set expires_at = clock_timestamp() + case template when 'over' then interval '0' else interval '1 hour' end;
set local role limena_maintenance;
select is(pg_temp.claimed(), 'fresh 1', 'mail that is worth nothing any more is not sent');
select alike(pg_temp.state('over'), '0 % abandoned', 'it is abandoned');
select is(pg_temp.claimed(), null, 'for good');

select * from finish();
rollback;
