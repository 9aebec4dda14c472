-- limena.log_in(): whose password was verified, and where they end up. Fails without the function.
begin;
select plan(44);

select tests.make_tenants();
delete from limena.sessions;
-- The owner of a is also a member of b, and of c, whose memberships are older; there was no session yet.
insert into limena.tenants (id, name) values (tests.tenant_id('c'), 'Tenant c');
insert into limena.memberships (tenant_id, user_id, role, created_at)
values
(tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer', now() - interval '2 days'),
(tests.tenant_id('c'), tests.user_id('a', 'owner'), 'admin', now() - interval '3 days');
insert into limena.users (id, email, display_name, password_hash)
values (tests.id('user', 'loner'), 'loner@x.example', 'Loner', '$2b$04$' || repeat('.', 53));
create temporary table logged as select l.id from limena.audit_logs as l;

create function pg_temp.logging_in(
    p_name text, p_tenant_id uuid default null, p_user_id uuid default tests.user_id('a', 'owner')
)
returns jsonb
language sql
as $$
select limena.log_in(
    p_user_id => p_user_id,
    p_password_hash => '$2b$04$' || repeat('.', 53),
    p_secret_hash => sha256(('secret ' || p_name)::bytea),
    p_refresh_hash => sha256(('refresh ' || p_name)::bytea), p_tenant_id => p_tenant_id, p_request_id => 'request 1',
    p_ip => '192.0.2.1', p_user_agent => 'agent 1'
)
$$;

-- What comes of it.
set local role limena_auth;
select is(
    pg_temp.logging_in('first', tests.tenant_id('a')),
    jsonb_build_object(
        'user',
        jsonb_build_object('id', tests.user_id('a', 'owner'), 'email', 'owner@a.example', 'display_name', 'owner of a'),
        'tenant', jsonb_build_object('id', tests.tenant_id('a'), 'name', 'Tenant a', 'state', 'active')
    ),
    'the answer names the person and the tenant, and no hash'
);
reset role;
select results_eq(
    $$select s.user_id, s.secret_hash, s.current_tenant_id, s.created_at, s.expires_at, s.ended_at, s.ip, s.user_agent
    from limena.sessions as s$$,
    $$values (
        tests.user_id('a', 'owner'), sha256('secret first'), tests.tenant_id('a'), now(), now() + interval '30 days',
        null::timestamptz, inet '192.0.2.1', 'agent 1'
    )$$,
    'one session for 30 days'
);
select results_eq(
    $$select r.user_id, r.token_hash, r.issued_at, r.expires_at, r.spent_at, r.session_id = s.id
    from limena.refresh_tokens as r
    cross join limena.sessions as s$$,
    $$values (
        tests.user_id('a', 'owner'), sha256('refresh first'), now(), now() + interval '7 days', null::timestamptz, true
    )$$,
    'with a refresh token for 7'
);
select results_eq(
    'select u.session_id = s.id and u.user_id = s.user_id, u.last_seen_at from limena.session_uses as u cross join limena.sessions as s',  -- noqa: LT05
    'values (true, now())', 'seen now'
);
select results_eq(
    $$select concat_ws(
        ' ',
        right((select t.name from limena.tenants as t where t.id = l.tenant_id), 1) || ':',
        l.action, 'by', l.actor_type, l.actor_label, l.request_id, host(l.ip), l.user_agent
    )
    from limena.audit_logs as l
    where l.id not in (select g.id from logged as g)
    order by l.tenant_id = tests.tenant_id('c'), l.tenant_id = tests.tenant_id('b'), l.action collate "C"$$,
    array[
        'a: refresh_token.created by user owner@a.example request 1 192.0.2.1 agent 1',
        'a: session.created by user owner@a.example request 1 192.0.2.1 agent 1',
        'b: refresh_token.created by user owner@a.example request 1 192.0.2.1 agent 1',
        'b: session.created by user owner@a.example request 1 192.0.2.1 agent 1',
        'c: refresh_token.created by user owner@a.example request 1 192.0.2.1 agent 1',
        'c: session.created by user owner@a.example request 1 192.0.2.1 agent 1'
    ],
    'each of the person''s tenants is told'
);
select is_empty(
    $$select l.id
    from limena.audit_logs as l
    where l.id not in (select g.id from logged as g)
        and (
            l::text ~ encode(sha256('secret first'), 'hex') or l::text ~ encode(sha256('refresh first'), 'hex')
            or l::text ~ 'Tenant' or (l.changes || l.details)::text ~ tests.tenant_id('a')::text
        )$$,
    'of no hash, and not of the tenant that was entered'
);
set local role limena_app;
select is(limena.current_tenant_id(), null, 'no tenant is entered by logging in');
select ok(limena.enter_session(sha256('secret first'), tests.tenant_id('a')), 'but with the session that was made');

-- Where they end up, if they do not say.
set local role limena_auth;
select is(pg_temp.logging_in('second') #>> '{tenant, name}', 'Tenant a', 'where the last session was');
reset role;
update limena.sessions set current_tenant_id = null;
set local role limena_auth;
select is(
    pg_temp.logging_in('third') #>> '{tenant, name}',
    'Tenant c',
    'if there was none, where they have been longest'
);
reset role;
update limena.sessions set created_at = now() - interval '1 hour'
where secret_hash = sha256('secret third');
update limena.sessions set current_tenant_id = tests.tenant_id('b')
where secret_hash = sha256('secret second');
set local role limena_auth;
select is(pg_temp.logging_in('fourth') #>> '{tenant, name}', 'Tenant b', 'the latest session counts');
reset role;
update limena.tenants set state = 'deleted'
where id = tests.tenant_id('b');
set local role limena_auth;
select is(pg_temp.logging_in('fifth') #>> '{tenant, name}', 'Tenant c', 'a deleted tenant does not');
select is(
    pg_temp.logging_in('sixth', p_user_id => tests.id('user', 'loner')) -> 'tenant',
    'null'::jsonb,
    'who is in no tenant ends up in none'
);
reset role;
select is(
    (
        select count(*)
        from limena.sessions as s
        where s.secret_hash = sha256('secret sixth') and s.current_tenant_id is null
    ),
    1::bigint,
    'with a session all the same'
);

-- Whom it refuses.
set local role limena_auth;
select
    is(
        tests.error_of(
            format('select limena.log_in(%L, %L, sha256(''x''), sha256(''y''), %L)', w.user_id, w.hash, w.tenant_id)
        ),
        case when w.tenant_id is null then '28000 the log-in is not valid' else 'P0002 no such tenant' end,
        w.description
    )
from (
    values
    (
        tests.user_id('a', 'owner'),
        '$2b$04$' || repeat('/', 53),
        null::uuid,
        'a hash that is not current: the password was changed meanwhile'
    ),
    (tests.user_id('a', 'owner'), null, null, 'no hash'),
    (tests.user_id('a', 'owner'), '', null, 'an empty hash'),
    (tests.id('user', 'none'), '$2b$04$' || repeat('.', 53), null, 'an unknown person'),
    (null, '$2b$04$' || repeat('.', 53), null, 'nobody'),
    (tests.user_id('a', 'admin'), '$2b$04$' || repeat('.', 53), tests.tenant_id('b'), 'a tenant that is not theirs'),
    (tests.user_id('a', 'owner'), '$2b$04$' || repeat('.', 53), tests.tenant_id('b'), 'one of theirs that was deleted'),
    (tests.user_id('a', 'owner'), '$2b$04$' || repeat('.', 53), tests.id('tenant', 'none'), 'one that does not exist'),
    (
        tests.user_id('a', 'owner'),
        '$2b$04$' || repeat('.', 53),
        '00000000-0000-4000-8000-000000000000',
        'the reserved one'
    )
) as w (user_id, hash, tenant_id, description);
select matches(tests.error_of(w.statement), w.pattern, w.description)
from (
    values
    (
        $$select limena.log_in(
            tests.user_id('a', 'admin'), '$2b$04$' || repeat('.', 53), sha256('secret first'), sha256('y')
        )$$,
        '^23505 .*constraint sessions_secret_hash_key$', 'a secret is no one''s twice'
    ),
    (
        $$select limena.log_in(
            tests.user_id('a', 'admin'), '$2b$04$' || repeat('.', 53), sha256('x'), sha256('refresh first')
        )$$,
        '^23505 .*constraint refresh_tokens_token_hash_key$', 'nor is a refresh token'
    ),
    (
        $$select limena.log_in(tests.user_id('a', 'admin'), '$2b$04$' || repeat('.', 53), 'short', sha256('y'))$$,
        '^23514 .*constraint sessions_secret_hash_check$', 'what is no SHA-256 is no hash of a secret'
    ),
    (
        $$select limena.log_in(tests.user_id('a', 'admin'), '$2b$04$' || repeat('.', 53), null, sha256('y'))$$,
        '^23502 .*column secret_hash', 'a session has a secret'
    )
) as w (statement, pattern, description);
reset role;
select is_empty(
    $$select s.id from limena.sessions as s
    where s.user_id <> tests.user_id('a', 'owner') and s.user_id <> tests.id('user', 'loner')$$,
    'none of them has a session'
);
set local role limena_auth;
select lives_ok(
    $$select limena.log_in(
        tests.user_id(
            'a',
            'admin'), '$2b$04$' || repeat('.',
            53), sha256('long'), sha256('long'), p_user_agent => repeat('ü',
            2000
        )
    )$$,
    'what a client can make long is cut'
);

-- It takes back what begin_log_in() counted for it, and nothing else.
reset role;
create function pg_temp.attempt(p_email text, p_ip inet default '192.0.2.1')
returns boolean
language sql
as $$ select b.password_hash is not null from limena.begin_log_in(p_email, p_ip) as b $$;
create function pg_temp.succeed(p_name text, p_role text default 'viewer', p_ip inet default '192.0.2.1')
returns text
language plpgsql
as $$
begin
    if not pg_temp.attempt(p_role || '@a.example', p_ip) then
        return 'wait';
    end if;
    perform limena.log_in(
        p_user_id => tests.user_id('a', p_role), p_password_hash => '$2b$04$' || repeat('.', 53),
        p_secret_hash => sha256(('counted ' || p_name)::bytea), p_refresh_hash => sha256(('counted refresh ' || p_name)::bytea),
        p_ip => p_ip
    );
    return 'in';
end;
$$;
create function pg_temp.counters(p_account text, p_network text default '192.0.2.1')
returns text
language sql
security definer
as $$
select coalesce(
    string_agg(
        concat_ws(' ', k.kind, f.failures, case when f.blocked_until > f.last_failed_at then 'blocks' end), ', ' order by k.place
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
create function pg_temp.wait(p_time interval)
returns void
language sql
security definer
as $$
update limena.log_in_failures
set last_failed_at = last_failed_at - p_time, blocked_until = blocked_until - p_time
$$;
-- 30 failures from this address, each with another account.
create function pg_temp.guess(p_number integer, p_ip inet default '192.0.2.1')
returns void
language sql
as $$
select pg_temp.attempt(format('guess%s@x.example', g.n), p_ip) from generate_series(1, p_number) as g (n)
$$;
delete from limena.log_in_failures;
delete from limena.sessions
where user_id = tests.user_id('a', 'viewer');

set local role limena_auth;
select is(pg_temp.succeed('1'), 'in', 'a log-in from a place where the person has not been');
select is(pg_temp.counters('viewer@a.example'), 'none', 'leaves no count');
select is(pg_temp.succeed('2'), 'in', 'one more, from a place that is known by now');
select is(pg_temp.counters('viewer@a.example'), 'none', 'neither');
select pg_temp.attempt('member@a.example', '192.0.2.7') from generate_series(1, 4);
select is(pg_temp.succeed('3', 'member', '192.0.2.7'), 'in', 'after four failures');
select is(
    pg_temp.counters('member@a.example', '192.0.2.7'), 'address 4, account 4',
    'the account is not under suspicion here; what was tried stays counted for the address and for the account'
);
-- Laundering: someone with an account of their own, who guesses others' from the same address.
select pg_temp.guess(30, '192.0.2.8');
select is(pg_temp.succeed('4', 'viewer', '192.0.2.8'), 'in', 'a good account among thirty guesses');
select is(pg_temp.counters('viewer@a.example', '192.0.2.8'), 'address 30', 'does not clear the address of one of them');
select is(
    array_to_string(array(select pg_temp.succeed('launder ' || g.n, 'viewer', '192.0.2.8') from generate_series(1, 5) as g (n)), ' '),  -- noqa: LT05
    'in in in in in', 'who comes after does not wait for it: the delay that its own attempt set is gone'
);
select is(pg_temp.counters('viewer@a.example', '192.0.2.8'), 'address 30', 'however often');
select pg_temp.attempt('guess31@x.example', '192.0.2.8');
select pg_temp.wait('-1 hour');
select is(pg_temp.succeed('5', 'viewer', '192.0.2.8'), 'wait', 'past the free attempts the good account waits, too');
select pg_temp.wait('1 hour 1 minute');
select is(
    pg_temp.succeed('6', 'viewer', '192.0.2.8') || ': ' || pg_temp.counters('viewer@a.example', '192.0.2.8'),
    'in: address 31 blocks', 'and lifts no delay of the address'
);
-- A log-in that is refused after begin_log_in() stays counted.
select pg_temp.attempt('admin@a.example', '192.0.2.9');
select is(
    tests.outcome(
        $$select limena.log_in(
            tests.user_id('a', 'admin'), '$2b$04$' || repeat('/', 53), sha256('x'), sha256('y'), p_ip => '192.0.2.9'
        )$$
    ), '28000', 'a password that was changed meanwhile'
);
select is(
    pg_temp.counters('admin@a.example', '192.0.2.9'), 'account at address 1, address 1, account 1',
    'counts as a failure'
);
-- With a device cookie, it clears the browser's own count.
select b.retry_after
from generate_series(1, 5) as g (n)
cross join limena.begin_log_in('viewer@a.example' || repeat(' ', g.n), '192.0.2.10', sha256('d')) as b;
select limena.log_in(
    p_user_id => tests.user_id('a', 'viewer'), p_password_hash => '$2b$04$' || repeat('.', 53),
    p_secret_hash => sha256('device'), p_refresh_hash => sha256('device refresh'), p_device_hash => sha256('d'),
    p_ip => '192.0.2.10'
) is null;
reset role;
select is_empty(
    $$select from limena.log_in_failures as f
    where f.subject = sha256(convert_to(concat_ws(chr(10), 'device', encode(sha256('d'), 'hex'), 'viewer@a.example'), 'UTF8'))$$,
    'a success from a known browser forgets its failures'
);

select * from finish();
rollback;
