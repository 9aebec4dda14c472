-- limena.prune(): what has served its time goes, and nothing else. Fails without the function.
begin;
select plan(22);

select tests.make_tenants();
-- Of each table a row that is due, and one that is not quite.
insert into limena.log_in_failures (subject, failures, last_failed_at, blocked_until)
values
(sha256('due'), 1, now() - interval '61 minutes', '-infinity'),
(sha256('not yet'), 1, now() - interval '59 minutes', '-infinity');
insert into limena.registrations (email, display_name, tenant_name, password_hash, token_hash, expires_at, used_at)
values
('due@x.example', 'x', 'x', '$2b$04$' || repeat('.', 53), sha256('due'), now() - interval '25 hours', null),
('used@x.example', 'x', 'x', null, sha256('used'), now() - interval '25 hours', now()),
('not-yet@x.example', 'x', 'x', '$2b$04$' || repeat('.', 53), sha256('not yet'), now() - interval '23 hours', null);
insert into limena.password_resets (user_id, token_hash, expires_at)
values
(tests.user_id('a', 'owner'), sha256('due'), now() - interval '31 days'),
(tests.user_id('a', 'owner'), sha256('not yet'), now() - interval '29 days');
insert into limena.outbox (tenant_id, id, template, recipient, created_at, due_at, delivered_at, abandoned_at)
select
    tests.tenant_id(w.tenant),
    tests.id('mail', w.name),
    'x',
    'x@x.example',
    w.created_at,
    w.created_at as due_at,
    w.delivered_at,
    w.abandoned_at
from (
    values
    ('a', 'delivered', now() - interval '32 days', now() - interval '31 days', null::timestamptz),
    ('b', 'abandoned', now() - interval '32 days', null, now() - interval '31 days'),
    ('a', 'delivered lately', now() - interval '32 days', now() - interval '29 days', null),
    ('a', 'abandoned lately', now() - interval '32 days', null, now() - interval '29 days'),
    ('a', 'to be sent', now() - interval '1 year', null, null)
) as w (tenant, name, created_at, delivered_at, abandoned_at);
insert into limena.sessions (id, user_id, secret_hash, ended_at, expires_at)
select
    tests.id('session', w.name),
    tests.user_id('a', 'owner'),
    sha256(w.name::bytea),
    w.ended_at,
    w.expires_at
from (
    values
    ('ended', now() - interval '31 days', now() + interval '1 day'),
    ('over', null, now() - interval '31 days'),
    ('ended and over', now() - interval '40 days', now() - interval '10 days'),
    ('ended lately', now() - interval '29 days', now()),
    ('over lately', null, now() - interval '29 days'),
    ('live', null, now() + interval '1 day')
) as w (name, ended_at, expires_at);
insert into limena.session_uses (session_id, user_id)
select
    s.id,
    s.user_id
from limena.sessions as s
on conflict do nothing;
insert into limena.refresh_tokens (session_id, user_id, token_hash)
select
    s.id,
    s.user_id,
    sha256(uuid_send(s.id))
from limena.sessions as s;
create temporary table logged as select l.id from limena.audit_logs as l;

set local role limena_maintenance;
select
    is(
        limena.prune(), 9, 'what is due of each table: a counter, two registrations, a reset, two mails, three sessions'
    );
select is(limena.prune(), 0, 'and then nothing is left to do');
reset role;
select
    results_eq(
        'select f.subject from limena.log_in_failures as f',
        array[sha256('not yet')],
        'a counter an hour after the last failure'
    );
select
    results_eq(
        'select r.email from limena.registrations as r',
        array['not-yet@x.example'],
        'registrations a day after their end'
    );
select results_eq('select r.token_hash from limena.password_resets as r', array[sha256('not yet')], 'resets, too');
select results_eq(
    $$select o.id from limena.outbox as o order by o.id$$,
    $$select tests.id('mail', n) from unnest(array['delivered lately', 'abandoned lately', 'to be sent']) as n order by 1$$,  -- noqa: LT05
    'mail 30 days after it was delivered or abandoned; what is still to be sent never'
);
select results_eq(
    $$select s.id from limena.sessions as s where s.user_id = tests.user_id('a', 'owner') order by s.id$$,
    $$select tests.id('session', n) from unnest(array['a owner', 'ended lately', 'over lately', 'live']) as n order by 1$$,  -- noqa: LT05
    'sessions 30 days after their end, whichever came first'
);
select is(
    array[
        (select count(*) from limena.session_uses),
        (select count(*) from limena.refresh_tokens),
        (select count(*) from limena.sessions)
    ],
    '{11, 11, 11}', 'with their uses and refresh tokens, and nobody else''s'
);
select is(
    array(
        select distinct concat_ws(' ', l.action, l.actor_type, l.actor_label = session_user) as line
        from limena.audit_logs as l
        where l.id not in (select g.id from logged as g)
        order by line
    ),
    array[
        'mail.deleted system t', 'maintenance.pruned system t',
        'password_reset.deleted system t',
        'refresh_token.deleted system t',
        'registration.deleted system t',
        'session.deleted system t'
    ],
    'the log says what went, and under which login'
);

-- In batches: a run holds no lock for long.
insert into limena.log_in_failures (subject, failures, last_failed_at, blocked_until)
select
    sha256(g.n::text::bytea),
    1,
    now() - interval '2 hours',
    '-infinity'
from generate_series(1, 2500) as g (n);
set local role limena_maintenance;
-- Whatever the plan: here one that would run a subselect for each row.
set local enable_hashjoin = off;
set local enable_mergejoin = off;
set local enable_hashagg = off;
set local enable_sort = off;
set local enable_material = off;
select is(
    array[limena.prune(), limena.prune(), limena.prune(), limena.prune()],
    '{1000, 1000, 500, 0}',
    'a thousand rows a table at a time'
);

-- It finds what is due by an index, in each of its tables: the conditions are read from the function itself.
reset role;
set local enable_seqscan = off;
create function pg_temp.plans()
returns setof text
language plpgsql
as $$
declare
    v_search record;
    v_plan text;
begin
    for v_search in
        select m[1] as relation, m[2] as condition
        from pg_proc as p
        cross join regexp_matches(p.prosrc, 'from (limena[.]\w+) as d\s+where ([^;]*?)\s+limit', 'g') as m
        where p.oid = 'limena.prune()'::regprocedure
    loop
        execute format(
            'explain (format json) select from %s as d where %s limit 1000',
            v_search.relation, replace(v_search.condition, 'v_now', 'now()')
        ) into v_plan;
        return next v_search.relation || case when v_plan ~ '"Index Cond"' then ': by index' else ': ' || v_plan end;
    end loop;
end;
$$;
select is(
    array(
        select case when p.plan like '%: by index' then 'by index' else p.plan end
        from pg_temp.plans() as p (plan)
    ),
    array_fill('by index'::text, array[(
        select count(*)::integer
        from pg_proc as p
        cross join regexp_matches(p.prosrc, 'delete from', 'g')
        where p.oid = 'limena.prune()'::regprocedure
    )]),
    'whatever is due is found by an index'
);
set local role limena_maintenance;

-- Who may call it; and it is the only way to delete.
select is(tests.outcome(format('delete from limena.%I', t)), '42501', 'limena_maintenance deletes no row of ' || t)
from
    unnest(
        array[
            'log_in_failures',
            'registrations',
            'password_resets',
            'outbox',
            'sessions',
            'refresh_tokens',
            'session_uses',
            'audit_logs'
        ]
    ) as t;
set local role limena_app;
select is(tests.outcome('select limena.prune()'), '42501', 'not for limena_app');
set local role limena_auth;
select is(tests.outcome('select limena.prune()'), '42501', 'nor for limena_auth');
set local role limena_readonly;
select is(tests.outcome('select limena.prune()'), '42501', 'nor for limena_readonly');

select * from finish();
rollback;
