-- limena.open_access(), close_access(), open_access_as(), resume_access() and the covered_…() that policies ask: who
-- may declare what, where it stands, and what a ticket opens. What it shows over real transactions is in
-- api/tests/test_operators.py. Fails without the reason, the duration, the flag, or a condition of current_access().
begin;
select plan(60);

select tests.make_tenants();
insert into limena.users (id, email, display_name, password_hash, is_platform_admin)
values (tests.user_id('platform', 'admin'), 'root@x.example', 'Root', '$2b$04$' || repeat('.', 53), true);
insert into limena.sessions (id, user_id, secret_hash)
values (
    tests.id('session', 'platform admin'), tests.user_id('platform', 'admin'), tests.session_hash('platform', 'admin')
);

-- What policies are told, as 'tenant from to all people'; only that there is a bound, not which.
create function tests.covered()
returns text
language sql
as $$
select concat_ws(
    ' ',
    case limena.covered_tenant_id() when tests.tenant_id('a') then 'a' when tests.tenant_id('b') then 'b' end,
    case when limena.covered_from() is not null and limena.covered_to() is not null then 'within' end,
    case when limena.covers_all() then 'all' end,
    (select nullif(count(*), 0) from limena.covered_people())
)
$$;
-- As if what was declared had been committed: this file is one transaction.
create function tests.commit_access(p_change text default 'opened_by_xid = ''1''')
returns void
language plpgsql
security definer
as $$ begin execute 'update limena.operator_access set ' || p_change; end $$;
create function tests.change(p_statement text)
returns void
language plpgsql
security definer
as $$ begin execute p_statement; end $$;
create function tests.accesses()
returns setof text
language sql
security definer
as $$
select concat_ws(
    ', ',
    right(t.name, 1),
    case when a.covers_all then 'all' end,
    a.login,
    (select u.email from limena.users as u where u.id = a.user_id),
    a.reason,
    date_trunc('minute', a.expires_at - a.opened_at)::text,
    case when a.closed_at is not null then 'closed' end
)
from limena.operator_access as a
inner join limena.tenants as t on a.tenant_id = t.id
order by a.opened_at
$$;
create function tests.recorded()
returns setof text
language sql
security definer
as $$
select concat_ws(' ', right(t.name, 1), l.action, l.actor_type, l.actor_label, l.details ->> 'reason')
from limena.audit_logs as l
inner join limena.tenants as t on l.tenant_id = t.id
where l.action in ('operator.access_opened', 'operator.all_access_opened', 'operator.access_closed')
order by l.seq
$$;

create function tests.declare_as(p_who text, p_tenant text default 'a', p_minutes integer default 1)
returns text
language sql
as $$
select tests.outcome(
    format(
        'select limena.open_access_as(%L, ''because'', %L, %L)',
        tests.session_hash(split_part(p_who, ' ', 1), split_part(p_who, ' ', 2)), tests.tenant_id(p_tenant), p_minutes
    )
)
$$;

-- Whose it is to call.
set local session authorization limena_app;
select
    is(
        tests.outcomes(s.statement), 'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
        'not limena_app''s: ' || s.statement
    )
from (
    values
    ('select limena.open_access(''because'')'), ('select limena.close_access()'),
    (format('select limena.open_access_as(%L, ''because'')', tests.session_hash('platform', 'admin'))),
    ('select limena.resume_access(''x'')'), ('select limena.covered_tenant_id()'), ('select limena.covers_all()'),
    ('select limena.covered_people()')
) as s (statement);
set local session authorization limena_auth;
select is(tests.outcome('select limena.open_access(''because'')'), '42501', 'nor limena_auth''s');
set local session authorization limena_maintenance;
select is(tests.outcome('select limena.open_access(''because'')'), '42501', 'nor limena_maintenance''s');

-- Without one.
set local session authorization limena_readonly;
select is(tests.covered(), '', 'nothing is covered before something is declared');
select is(tests.outcome('select limena.close_access()'), 'P0002', 'nor is there anything to close');
select is(tests.outcome(format('select limena.resume_access(%L)', t.ticket)), '42501', t.name)
from (
    values
    (null, 'no ticket'), ('', 'an empty one'), (repeat('0', 64), 'one made up'), (repeat('x', 1000000), 'a long one')
) as t (ticket, name);

-- What will not do.
select
    is(
        tests.outcome(format('select limena.open_access(%L, %L, %L)', o.reason, o.tenant_id, o.duration)),
        o.expected,
        o.name
    )
from (
    values
    (null, null::uuid, '1 min', '22023', 'without a reason'),
    ('ab', null, '1 min', '22023', 'with two characters'),
    ('    ', null, '1 min', '22023', 'with blanks'),
    (E'\u200b\u200b\u200b', null, '1 min', '22023', 'with what nobody sees'),
    (E'two\nlines', null, '1 min', '22023', 'with a line break'),
    (repeat('x', 501), null, '1 min', '22023', 'with 501 characters'),
    ('because', tests.id('none', ''), '1 min', 'P0002', 'for a tenant that is not there'),
    ('because', null, null, '22023', 'for ever'),
    ('because', null, '0', '22023', 'for no time'),
    ('because', null, '-1 min', '22023', 'for less'),
    ('because', null, '12 hours 1 second', '22023', 'for more than 12 hours')
) as o (reason, tenant_id, duration, expected, name);
select is_empty($$select tests.accesses()$$, 'and nothing came of it');

-- As a log-in.
select limena.open_access('  looking into a ticket  ', tests.tenant_id('a'));
select is(tests.covered(), '', 'who declares sees nothing in the same transaction');
select tests.commit_access();
select is(tests.covered(), 'a within 4', 'once it is committed, the tenant that was named, and its people');
select tests.commit_access('login = ''somebody_else''');
select is(tests.covered(), '', 'not with the ticket of somebody else''s log-in');
select is(tests.outcome('select limena.close_access()'), 'P0002', 'which one cannot close either');
select tests.commit_access('login = ''limena_readonly''');
select tests.commit_access('expires_at = opened_at + interval ''1 microsecond''');
select is(tests.covered(), '', 'not after its end');
select tests.commit_access('expires_at = opened_at + interval ''30 min''');
select set_config('app.operator_ticket', repeat('0', 64), true);
select is(tests.covered(), '', 'not with another ticket');
select limena.open_access('all of them', p_duration => '12 hours');
select tests.commit_access();
select is(tests.covered(), 'within all 8', 'without a tenant: all of them');
select limena.close_access();
select is(tests.covered(), '', 'nothing once it is closed');
select is(tests.outcome('select limena.close_access()'), 'P0002', 'once');
select results_eq(
    $$select tests.accesses()$$,
    array[
        'a, limena_readonly, looking into a ticket, 00:30:00', 'm, all, limena_readonly, all of them, 12:00:00, closed'
    ],
    'half an hour unless it is said otherwise; what was not closed stays open; blanks around a reason do not'
);

-- In the name of a person.
select is(tests.declare_as(w.who), w.expected, 'as ' || w.who)
from (
    values
    ('platform admin', '1'), ('a owner', '42501'), ('a admin', '42501'), ('a member', '42501'), ('a viewer', '42501'),
    ('b owner', '42501'), ('nobody there', '28000')
) as w (who, expected);
select
    is(
        tests.declare_as('platform admin', 'a', m.minutes), '22023', 'for as many minutes as ' || coalesce(m.minutes, 0)
    )
from (values (null::integer), (0), (-1), (721), (2147483647)) as m (minutes);
select is(tests.declare_as('platform admin', 'nowhere'), 'P0002', 'for a tenant that is not there');
select set_config(
    'tests.ticket',
    limena.open_access_as(
        tests.session_hash('platform', 'admin'), 'an invoice', tests.tenant_id('b'), p_request_id => 'request 7'
    ),
    true
);
select is(tests.covered(), '', 'a ticket opens nothing by itself');
select is(
    tests.outcome('select limena.resume_access(current_setting(''tests.ticket''))'), '42501',
    'nor for the transaction that declared it'
);
select tests.commit_access('opened_by_xid = ''1'' where user_id is not null');
select is(limena.resume_access(current_setting('tests.ticket')), true, 'for a later one');
select is(tests.covered(), 'b within 4', 'it opens the tenant that was named');
select tests.change('update limena.users set is_platform_admin = false');
select is(tests.covered(), '', 'not in the name of who administers the platform no more');
select is(
    tests.outcome('select limena.resume_access(current_setting(''tests.ticket''))'), '42501', 'who cannot go on with it'
);
select tests.change('update limena.users set is_platform_admin = true');
select tests.change('update limena.sessions set ended_at = clock_timestamp()');
select is(
    tests.outcome('select limena.resume_access(current_setting(''tests.ticket''))'), '42501',
    'nor of who has logged out'
);
select tests.change('update limena.sessions set ended_at = null');
select is(limena.resume_access(current_setting('tests.ticket')), true, 'else it goes on');
select limena.close_access();
select is(
    tests.outcome('select limena.resume_access(current_setting(''tests.ticket''))'), '42501', 'until it is closed'
);

-- On record, where whoever is covered finds it.
select results_eq(
    $$select tests.recorded()$$,
    array[
        'a operator.access_opened operator limena_readonly looking into a ticket',
        'm operator.all_access_opened operator limena_readonly all of them',
        'm operator.access_closed operator limena_readonly',
        'b operator.access_opened operator root@x.example an invoice',
        'b operator.access_closed operator limena_readonly'
    ],
    'each, with who and why'
);

select * from finish();
rollback;
