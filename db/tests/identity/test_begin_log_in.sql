-- limena.begin_log_in(): the only place, with find_password, where a bcrypt hash leaves the database; and the counters
-- that slow down who guesses. Fails without the function, and where an attempt is not counted before it is verified.
begin;
select plan(61);

select tests.make_tenants();

-- What became of an attempt: whose hash, or how long to wait.
create function pg_temp.attempt(p_email text, p_ip inet default '192.0.2.1')
returns text
language sql
as $$
select case
    when b.retry_after > 0 and b.user_id is null and b.password_hash is null then 'wait'
    when b.retry_after <> 0 then 'wrong'
    when b.user_id is null and b.password_hash is null then 'nobody'
    when b.password_hash = '$2b$04$' || repeat('.', 53) then (
        select s.name from (values (tests.user_id('a', 'owner'), 'owner'), (tests.user_id('a', 'admin'), 'admin')) as s (id, name)
        where s.id = b.user_id
    )
end
from limena.begin_log_in(p_email, p_ip) as b
$$;
create function pg_temp.attempts(p_email text, p_number integer, p_ip inet default '192.0.2.1')
returns text
language plpgsql
as $$
declare
    v_outcomes text := '';
begin
    for i in 1..p_number loop
        v_outcomes := concat_ws(' ', nullif(v_outcomes, ''), pg_temp.attempt(p_email, p_ip));
    end loop;
    return v_outcomes;
end;
$$;
-- Time passes, for the counters; a negative time is one that will have passed later, however slow the machine.
create function pg_temp.wait(p_time interval default '16 minutes')
returns void
language sql
security definer
as $$
update limena.log_in_failures
set last_failed_at = last_failed_at - p_time, blocked_until = blocked_until - p_time
$$;
-- The counters: 'account at address 1, …', with the delay in seconds of one that blocks. By what they are made of,
-- which is told here a second time.
create function pg_temp.counters(p_account text, p_network text default '192.0.2.1')
returns text
language sql
security definer
as $$
select coalesce(
    string_agg(
        concat_ws(
            ' ', k.kind, f.failures,
            'blocks ' || case when f.blocked_until > f.last_failed_at then round(extract(epoch from f.blocked_until - f.last_failed_at)) end
        ), ', ' order by k.place
    ),
    'none'
)
from (
    values
    (1, 'account at address', array['account at address', p_network, p_account]),
    (2, 'address', array['address', p_network]),
    (3, 'account', array['account', p_account])
) as k (place, kind, parts)
inner join limena.log_in_failures as f on f.subject = sha256(convert_to(array_to_string(k.parts, chr(10)), 'UTF8'))
$$;
create function pg_temp.forget()
returns void
language sql
security definer
as $$ delete from limena.log_in_failures $$;

create function pg_temp.on_device(p_device text, p_email text default 'owner@a.example', p_number integer default 1)
returns text
language sql
as $$
select string_agg(
    (
        select case when b.retry_after > 0 then 'wait' when b.user_id is not null then 'known' else 'nobody' end
        from limena.begin_log_in(p_email || repeat(' ', g.n), '192.0.2.1', sha256(p_device::bytea)) as b
    ), ' ' order by g.n
)
from generate_series(1, p_number) as g (n)
$$;

create function pg_temp.delays(p_email text, p_number integer, p_kind text, p_ip inet default '192.0.2.1')
returns text
language plpgsql
as $$
declare
    v_delays text[] := '{}';
begin
    for i in 1..p_number loop
        perform pg_temp.wait();
        perform pg_temp.attempt(p_email, p_ip);
        v_delays := v_delays || coalesce(
            substring(pg_temp.counters(lower(p_email), host(p_ip)) from '(?:^|, )' || p_kind || ' [0-9]+ blocks ([0-9]+)'), '-'
        );
    end loop;
    return array_to_string(v_delays, ' ');
end;
$$;
create function pg_temp.account_delays()
returns text
language plpgsql
as $$
declare
    v_delays text[] := '{}';
begin
    for i in 1..6 loop
        perform pg_temp.wait('10 seconds');
        perform pg_temp.attempt('owner@a.example', ('203.0.113.' || i)::inet);
        v_delays := v_delays || substring(pg_temp.counters('owner@a.example') from 'account [0-9]+ blocks ([0-9]+)');
    end loop;
    return array_to_string(v_delays, ' ');
end;
$$;

-- What it answers.
set local role limena_auth;
select results_eq(
    $$select user_id, password_hash, retry_after, highest_cost
    from limena.begin_log_in('owner@a.example', '192.0.2.1')$$,
    $$values (tests.user_id('a', 'owner'), '$2b$04$' || repeat('.', 53), 0, 4)$$,
    'the person and the hash behind an address'
);
select is(
    pg_temp.counters('owner@a.example'), 'account at address 1, address 1, account 1',
    'the attempt is counted before anybody verifies a password'
);
select is(pg_temp.attempt('  OWNER@A.Example '), 'owner', 'however it is written');
select is(
    pg_temp.counters('owner@a.example'),
    'account at address 2, address 2, account 2',
    'it is one account to the counters'
);
select results_eq(
    'select user_id, password_hash, retry_after from limena.begin_log_in(''nobody@a.example'', ''192.0.2.1'')',
    'values (null::uuid, null::text, 0)',
    'one row for an unknown address too, without a hash'
);
select is(
    pg_temp.counters('nobody@a.example'),
    'account at address 1, address 3, account 1',
    'which counts as a known one does'
);
select is(pg_temp.attempt(w.email, '192.0.2.9'), 'nobody', w.description)
from (
    values
    ('%', 'it is no pattern'), ('', 'nobody has an empty address'), (null, 'or none'),
    (repeat('x', 100000) || '@a.example', 'or one that is too long for anybody')
) as w (email, description);
select is(pg_temp.attempt('owner@a.example', null), 'owner', 'from wherever');
select is(
    pg_temp.counters('owner@a.example', 'unknown'), 'account at address 1, address 1, account 3', 'that counts too'
);
reset role;
select is_empty(
    $$select f.subject from limena.log_in_failures as f
    where octet_length(f.subject) <> 32 or position(convert_to('owner', 'UTF8') in f.subject) > 0$$,
    'a table of counters is no list of addresses'
);

-- How delays grow: for one account from one address.
set local role limena_auth;
select pg_temp.forget();
select is(
    pg_temp.attempts('owner@a.example', 6), 'owner owner owner owner owner owner',
    'six attempts at once get to verify a password'
);
select pg_temp.wait('-1 hour');
select is(pg_temp.attempts('owner@a.example', 14), repeat('wait ', 13) || 'wait', 'from then on one waits');
select is(
    pg_temp.counters('owner@a.example'), 'account at address 6 blocks 2, address 6, account 6',
    'those that are refused count nowhere: hammering does not lengthen the wait, there or elsewhere'
);
select ok(b.retry_after between 3500 and 3602, 'the seconds to wait are told')
from limena.begin_log_in('owner@a.example', '192.0.2.1') as b;
select is(pg_temp.attempt('OWNER@a.example'), 'wait', 'however the address is written');
select is(pg_temp.attempt('admin@a.example'), 'admin', 'another account does not wait');
select is(pg_temp.attempt('owner@a.example', '192.0.2.2'), 'owner', 'nor does the same from another address');

select pg_temp.forget();
select is(
    pg_temp.delays('owner@a.example', 17, 'account at address'), '- - - - - 2 4 8 16 32 64 128 256 512 900 900 900',
    'a failure more, and it is twice as long, up to a quarter of an hour'
);
select pg_temp.wait('-1 hour');
select ok(b.retry_after between 4400 and 4500, 'as it tells')
from limena.begin_log_in('owner@a.example', '192.0.2.1') as b;
select pg_temp.forget();
select is(
    pg_temp.delays('nobody@a.example', 17, 'account at address'), '- - - - - 2 4 8 16 32 64 128 256 512 900 900 900',
    'just so for an unknown address'
);
select pg_temp.wait('-1 hour');
select is(pg_temp.attempt('nobody@a.example'), 'wait', 'which waits');
select ok(b.retry_after between 4400 and 4500, 'as long as a known one')
from limena.begin_log_in('nobody@a.example', '192.0.2.1') as b;
select pg_temp.wait('76 minutes');
select is(pg_temp.attempt('nobody@a.example'), 'nobody', 'never for good: after the wait there is an attempt');

-- An hour without one.
select pg_temp.wait('59 minutes');
select is(pg_temp.delays('nobody@a.example', 1, 'account'), '-', 'an attempt an hour and a quarter later');
select is(
    pg_temp.counters('nobody@a.example'), 'account at address 1, address 1, account 1', 'counts from one again'
);
select pg_temp.forget();
select is(pg_temp.attempts('owner@a.example', 4), 'owner owner owner owner', 'four attempts');
select pg_temp.wait('59 minutes');
select is(pg_temp.attempts('owner@a.example', 2), 'owner owner', 'and two within the hour');
select pg_temp.wait('-1 hour');
select is(pg_temp.attempt('owner@a.example'), 'wait', 'count together');

-- An address, whatever the accounts.
select pg_temp.forget();
select is(
    (
        select string_agg(pg_temp.attempt(format('guess%s@x.example', g.n)), ' ' order by g.n)
        from generate_series(1, 31) as g (n)
    ),
    repeat('nobody ', 30) || 'nobody',
    'thirty-one accounts from one address'
);
select pg_temp.wait('-1 hour');
select is(pg_temp.attempt('guess32@x.example'), 'wait', 'and it waits, whatever the account');
select
    is(
        pg_temp.counters('guess1@x.example'),
        'account at address 1, address 31 blocks 2, account 1',
        'as the first failures do not'
    );
select is(pg_temp.attempt('owner@a.example'), 'wait', 'who has done nothing yet waits there too');
select is(
    pg_temp.counters('owner@a.example'), 'address 31 blocks 2', 'and it does not count against them'
);
select is(pg_temp.attempt('owner@a.example', '192.0.2.2'), 'owner', 'but not elsewhere');
select pg_temp.wait('1 hour');
select is(
    pg_temp.delays('x@x.example', 12, 'address'),
    '4 8 16 32 64 128 256 512 900 900 900 900',
    'up to a quarter of an hour'
);

-- IPv6: what one customer of a provider has is one address.
select pg_temp.forget();
select is(
    (
        select
            string_agg(
                pg_temp.attempt('owner@a.example', format('2001:db8:0:1::%s', to_hex(g.n))::inet), ' ' order by g.n
            )
        from generate_series(1, 6) as g (n)
    ),
    repeat('owner ', 5) || 'owner',
    'six addresses of one /64'
);
select pg_temp.wait('-1 hour');
select is(pg_temp.attempt('owner@a.example', '2001:db8:0:1:ffff::1'), 'wait', 'count as one');
select is(pg_temp.attempt('owner@a.example', '2001:db8:0:2::1'), 'owner', 'another /64 is another');
select
    is(
        pg_temp.counters('owner@a.example', '2001:db8:0:2::/64'),
        'account at address 1, address 1, account 7',
        'and counts apart'
    );

-- An account from anywhere, alike for one that exists and one that does not: the owner is logged in from 192.0.2.50.
reset role;
select pg_temp.forget();
insert into limena.sessions (user_id, secret_hash, ip) values (tests.user_id('a', 'owner'), sha256('1'), '192.0.2.50');
set local role limena_auth;
select is(
    (
        select string_agg(pg_temp.attempt('owner@a.example', ('198.51.100.' || g.n)::inet), ' ' order by g.n)
        from generate_series(1, 11) as g (n)
    ),
    repeat('owner ', 10) || 'owner',
    'a stranger with many addresses'
);
select pg_temp.attempt('nobody@a.example', ('198.51.100.' || g.n)::inet) from generate_series(101, 111) as g (n);
select pg_temp.wait('-1 hour');
select is(
    pg_temp.attempt('owner@a.example', '198.51.100.12'), 'wait',
    'is slowed down'
);
select is(
    (
        select string_agg(pg_temp.attempt(w.email, w.ip), ' ')
        from (
            values
            ('owner@a.example', '192.0.2.50'::inet), ('owner@a.example', '192.0.2.53'),
            ('nobody@a.example', '192.0.2.50'), ('nobody@a.example', '192.0.2.53')
        ) as w (email, ip)
    ),
    'wait wait wait wait',
    'and nobody learns where the owner logs in, or that there is one, by not having to wait'
);
select pg_temp.wait('1 hour');
select is(
    pg_temp.account_delays(), '4 8 10 10 10 10', 'never for longer than ten seconds: a stranger locks nobody out'
);

-- A browser that is known, by its device cookie: what strangers do does not delay it.
select pg_temp.forget();
select pg_temp.attempt('guess' || g.n || '@x.example') from generate_series(1, 31) as g (n);
select pg_temp.attempt('owner@a.example', ('198.51.100.' || g.n)::inet) from generate_series(1, 11) as g (n);
select pg_temp.wait('-1 hour');
select is(
    pg_temp.attempt('owner@a.example') || ' ' || pg_temp.attempt('owner@a.example', '203.0.113.1'), 'wait wait',
    'strangers have stopped the address, and the account'
);
select is(pg_temp.on_device('browser'), 'known', 'the browser that is known is let through');
select is(
    pg_temp.counters('owner@a.example'), 'address 31 blocks 2, account 11 blocks 2', 'and counts for itself alone'
);
select pg_temp.forget();
select is(
    pg_temp.on_device('browser', p_number => 6), 'known known known known known known',
    'whoever holds it has as many guesses as anyone'
);
select pg_temp.wait('-1 hour');
select is(pg_temp.on_device('browser'), 'wait', 'and then waits');
select is(pg_temp.on_device('other') || ' ' || pg_temp.attempt('owner@a.example'), 'known owner', 'another does not');
select is(
    pg_temp.on_device('browser', 'nobody@a.example', 7), 'nobody nobody nobody nobody nobody nobody wait',
    'an unknown account''s would count just so'
);

-- An attempt that came to nothing for our sake is taken back.
select pg_temp.forget();
select pg_temp.attempt('owner@a.example');
select limena.take_back_log_in('owner@a.example', '192.0.2.1');
select is(pg_temp.counters('owner@a.example'), 'none', 'an attempt that was no guess');
select pg_temp.attempts('owner@a.example', 6);
select pg_temp.wait('-1 hour');
select limena.take_back_log_in(' OWNER@a.example', '192.0.2.1');
select is(
    pg_temp.counters('owner@a.example'), 'account at address 5, address 5, account 5',
    'takes its own count back, the delay that it set too, and nobody else''s'
);
select limena.take_back_log_in('nobody@a.example', '192.0.2.9');
select is(pg_temp.counters('nobody@a.example', '192.0.2.9'), 'none', 'where nothing was counted, nothing is taken');

-- What the slowest comparison costs, for whoever makes all failures last as long.
reset role;
update limena.users set password_hash = '$2b$13$' || repeat('.', 53)
where id = tests.user_id('b', 'viewer');
set local role limena_auth;
select pg_temp.forget();
select is(b.highest_cost, 13, 'the highest cost of all, for ' || a.email)
from (values ('owner@a.example'), ('nobody@a.example')) as a (email)
cross join limena.begin_log_in(a.email) as b;

-- Who may call it.
set local role limena_app;
select is(tests.outcome($$select limena.begin_log_in('owner@a.example')$$), '42501', 'not for limena_app');
set local role limena_readonly;
select is(tests.outcome($$select limena.begin_log_in('owner@a.example')$$), '42501', 'nor for limena_readonly');
set local role limena_maintenance;
select is(tests.outcome($$select limena.begin_log_in('owner@a.example')$$), '42501', 'nor for limena_maintenance');

select * from finish();
rollback;
