-- limena.refresh_session(): each refresh token is used once; shown again it yields the same for ten seconds, and later
-- ends the family. Fails without the function, and where a family outlives 30 days or a spent token is let pass.
begin;
select plan(46);

select tests.make_tenants();
-- The owner of a is also in b; c is somebody else's.
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer');
insert into limena.tenants (id, name) values (tests.tenant_id('c'), 'Tenant c');
insert into limena.users (id, email, display_name, password_hash)
values (tests.id('user', 'loner'), 'loner@x.example', 'Loner', '$2b$04$' || repeat('.', 53));
insert into limena.sessions (id, user_id, secret_hash)
values (tests.id('session', 'loner'), tests.id('user', 'loner'), sha256('loner'));
update limena.session_uses set last_seen_at = now() - interval '1 hour';
insert into limena.refresh_tokens (session_id, user_id, token_hash)
values
(tests.id('session', 'a owner'), tests.user_id('a', 'owner'), sha256('first')),
(tests.id('session', 'a admin'), tests.user_id('a', 'admin'), sha256('of admin')),
(tests.id('session', 'a member'), tests.user_id('a', 'member'), sha256('of member')),
(tests.id('session', 'a viewer'), tests.user_id('a', 'viewer'), sha256('of viewer')),
(tests.id('session', 'b owner'), tests.user_id('b', 'owner'), sha256('of b')),
(tests.id('session', 'loner'), tests.id('user', 'loner'), sha256('of loner'));
create temporary table logged as select l.id from limena.audit_logs as l;

create function pg_temp.refresh(p_token text, p_successor text)
returns jsonb
language sql
as $$
select limena.refresh_session(
    sha256(p_token::bytea), sha256(p_successor::bytea), p_request_id => 'request 1', p_ip => '192.0.2.1', p_user_agent => 'agent 1'
)
$$;
create function pg_temp.refused(p_token text, p_successor text)
returns text
language sql
as $$ select tests.error_of(format('select pg_temp.refresh(%L, %L)', p_token, p_successor)) $$;
-- Time passes since a token was spent; the log does not notice.
create function pg_temp.wait(p_token text, p_time interval)
returns void
language sql
security definer
set session_replication_role = replica
as $$
update limena.refresh_tokens set spent_at = spent_at - p_time
where token_hash = sha256(p_token::bytea)
$$;
create function pg_temp.added()
returns text[]
language plpgsql
security definer
as $$
declare
    v_lines text[];
begin
    v_lines := array(
        select concat_ws(
            ' ', right((select t.name from limena.tenants as t where t.id = l.tenant_id), 1) || ':', l.action, 'by', l.actor_label,
            l.request_id, host(l.ip), l.user_agent
        )
        from limena.audit_logs as l
        where l.id not in (select g.id from logged as g)
        order by l.tenant_id = tests.tenant_id('b'), l.action collate "C"
    );
    insert into logged
    select l.id from limena.audit_logs as l where l.id not in (select g.id from logged as g);
    return v_lines;
end;
$$;
create temporary table answers (name text, answer jsonb);
grant select, insert on answers to public;

-- Rotated.
set local role limena_auth;
insert into answers values ('rotated', pg_temp.refresh('first', 'second'));
reset role;
select results_eq(
    $$select a.answer - '{issued_at, expires_at}'::text[] from answers as a$$,
    $$values (jsonb_build_object('outcome', 'rotated', 'user_id', tests.user_id('a', 'owner'), 'tenant_id', tests.tenant_id('a')))$$,  -- noqa: LT05
    'whose the session is, and where'
);
select results_eq(
    $$select r.session_id, r.user_id, r.spent_at, extract(epoch from r.issued_at), extract(epoch from r.expires_at)
    from limena.refresh_tokens as r
    where r.token_hash = sha256('second')$$,
    $$select
        tests.id('session', 'a owner'), tests.user_id('a', 'owner'), null::timestamptz, (a.answer ->> 'issued_at')::numeric,
        (a.answer ->> 'expires_at')::numeric
    from answers as a$$,
    'the successor is of the same session, with the times that are answered, in whole seconds'
);
select results_eq(
    $$select (a.answer ->> 'expires_at')::bigint - (a.answer ->> 'issued_at')::bigint from answers as a$$,
    array[7 * 24 * 3600::bigint],
    'it is good for 7 days'
);
select
    ok(
        (a.answer ->> 'issued_at')::numeric between floor(extract(epoch from now())) and extract(
            epoch from clock_timestamp()
        ),
        'from now on'
    )
from answers as a;
select isnt(r.spent_at, null, 'the other is spent')
from limena.refresh_tokens as r
where r.token_hash = sha256('first');
select ok(u.last_seen_at >= now(), 'the session has been seen') from limena.session_uses as u
where u.session_id = tests.id('session', 'a owner');
select is(
    pg_temp.added(),
    array[
        'a: refresh_token.created by owner@a.example request 1 192.0.2.1 agent 1',
        'a: refresh_token.spent by owner@a.example request 1 192.0.2.1 agent 1',
        'b: refresh_token.created by owner@a.example request 1 192.0.2.1 agent 1',
        'b: refresh_token.spent by owner@a.example request 1 192.0.2.1 agent 1'
    ],
    'it is in the log of each of the person''s tenants'
);
set local role limena_app;
select is(limena.current_tenant_id(), null, 'no tenant is entered by it');

-- Repeated: two tabs, a lost answer.
set local role limena_auth;
select is(
    pg_temp.refresh('first', 'second'),
    (select a.answer || '{"outcome": "repeated"}' from answers as a),
    'shown again at once, it yields the same successor with the same times'
);
select pg_temp.wait('first', '8 seconds');
select is(
    pg_temp.refresh('first', 'second'),
    (select a.answer || '{"outcome": "repeated"}' from answers as a),
    'a little later, too'
);
select is(pg_temp.added(), '{}', 'nothing is written for it');
select is(
    pg_temp.refused('first', 'another'), '28000 the refresh token is not valid', 'it yields no second successor'
);
select is(
    pg_temp.refused('first', 'of b'), '28000 the refresh token is not valid', 'nor one of somebody else''s session'
);
reset role;
select is(
    (
        select count(*) from limena.refresh_tokens as r
        where r.session_id = tests.id('session', 'a owner')
    ), 2::bigint,
    'a parent has one child'
);
set local role limena_auth;
select is(pg_temp.refresh('second', 'third') ->> 'outcome', 'rotated', 'the successor is rotated in its turn');
select is(
    pg_temp.refresh('first', 'second') ->> 'outcome', 'superseded',
    'and the first still tells who it is: a tab that was slow, whose browser has a newer one'
);
select pg_temp.added() is null;

-- Reused: one of two who show it is a thief.
select pg_temp.wait('first', '10 seconds');
select
    is(
        pg_temp.refresh('first', 'second'),
        '{"outcome": "reused"}',
        'later it yields nothing, and no error: it must commit'
    );
reset role;
select is(
    array(
        select s.id from limena.sessions as s
        where s.ended_at is not null
    ), array[tests.id('session', 'a owner')], 'the session has ended, and no other'
);
select is(
    pg_temp.added(),
    array[
        'a: session.ended by owner@a.example request 1 192.0.2.1 agent 1',
        'a: session.refresh_reused by owner@a.example request 1 192.0.2.1 agent 1',
        'b: session.ended by owner@a.example request 1 192.0.2.1 agent 1',
        'b: session.refresh_reused by owner@a.example request 1 192.0.2.1 agent 1'
    ],
    'which the log of each of the person''s tenants says, and of no other'
);
select results_eq(
    $$select distinct l.entity_type, l.entity_id, l.changes, l.details
    from limena.audit_logs as l
    where l.action = 'session.refresh_reused'$$,
    $$values ('session', tests.id('session', 'a owner')::text, '{}'::jsonb, '{}'::jsonb)$$,
    'of which session'
);
set local role limena_auth;
select is(
    array_to_string(
        array(
            select pg_temp.refused(t.token, t.successor)
            from (values ('third', 'fourth'), ('second', 'third'), ('first', 'second')) as t (token, successor)
        ),
        ', '
    ),
    '28000 the refresh token is not valid, 28000 the refresh token is not valid, 28000 the refresh token is not valid',
    'the whole family is over: the thief''s, the owner''s and the spent one'
);
select is(pg_temp.added(), '{}', 'once is enough for the log');
set local role limena_app;
select is(
    tests.outcome('select tests.enter_as(''a'', ''owner'')'),
    '28000',
    'its access tokens are refused from the next request on'
);
set local role limena_auth;
select is(
    pg_temp.refresh('of admin', 'of admin 2') ->> 'outcome', 'rotated', 'other people''s tokens know nothing of it'
);

-- What is refused, with one answer.
select is(pg_temp.refused('unknown', 'x'), '28000 the refresh token is not valid', 'an unknown token');
select is(
    tests.error_of('select limena.refresh_session(null, sha256(''x''))'), '28000 the refresh token is not valid', 'none'
);
select alike(
    tests.error_of('select limena.refresh_session(sha256(''of viewer''), null)'),
    '23502 %column token_hash%',
    'no successor'
);
select alike(
    tests.error_of('select limena.refresh_session(sha256(''of viewer''), ''\x00'')'),
    '23514 %refresh_tokens_token_hash_check%',
    'what is no SHA-256'
);
select alike(
    pg_temp.refused('of viewer', 'of b'), '23505 %refresh_tokens_token_hash_key%',
    'a successor that is somebody''s token already'
);
select alike(pg_temp.refused('of viewer', 'of viewer'), '23505 %refresh_tokens_token_hash_key%', 'or the token itself');
select is(
    tests.error_of('select limena.refresh_session(tests.session_hash(''a'', ''viewer''), sha256(''x''))'),
    '28000 the refresh token is not valid',
    'a session''s secret is no refresh token'
);
reset role;
update limena.refresh_tokens set expires_at = clock_timestamp()
where token_hash = sha256('of member');
update limena.sessions set ended_at = now()
where id = tests.id('session', 'b owner');
set local role limena_auth;
select is(pg_temp.refused('of member', 'x'), '28000 the refresh token is not valid', 'an expired token');
select is(pg_temp.refused('of b', 'x'), '28000 the refresh token is not valid', 'that of an ended session');

-- A spent one that is over: whoever shows it is a thief all the same.
reset role;
insert into limena.refresh_tokens (session_id, user_id, token_hash, expires_at, spent_at)
values (
    tests.id('session', 'b member'), tests.user_id('b', 'member'), sha256('over'), now() - interval '1 day',
    now() - interval '8 days'
);
set local role limena_auth;
select is(pg_temp.refresh('over', 'x'), '{"outcome": "reused"}', 'a spent token that is over ends the family as well');
reset role;
select isnt(s.ended_at, null, 'that has ended') from limena.sessions as s
where s.id = tests.id('session', 'b member');
set local role limena_auth;

-- 30 days from the log-in, and no longer.
reset role;
update limena.sessions set created_at = now() - interval '28 days', expires_at = now() + interval '2 days'
where id = tests.id('session', 'a viewer');
set local role limena_auth;
insert into answers values ('last', pg_temp.refresh('of viewer', 'of viewer 2'));
reset role;
select
    is(
        (a.answer ->> 'expires_at')::bigint,
        floor(extract(epoch from s.expires_at))::bigint,
        'no token outlives its session'
    )
from answers as a
cross join limena.sessions as s
where a.name = 'last' and s.id = tests.id('session', 'a viewer');
select is(
    (
        select s.expires_at from limena.sessions as s
        where s.id = tests.id('session', 'a viewer')
    ),
    now() + interval '2 days',
    'and no refresh prolongs one'
);
update limena.sessions set expires_at = clock_timestamp()
where id = tests.id('session', 'a viewer');
set local role limena_auth;
select is(
    pg_temp.refused('of viewer 2', 'x'), '28000 the refresh token is not valid', 'after them it is over'
);
select is(
    pg_temp.refused('of viewer', 'of viewer 2'), '28000 the refresh token is not valid', 'for a token shown again, too'
);

-- Where it leads.
select is(
    pg_temp.refresh('of loner', 'of loner 2') -> 'tenant_id',
    'null'::jsonb,
    'who is in no tenant gets a token without one'
);
reset role;
delete from limena.memberships
where user_id = tests.user_id('a', 'admin');
set local role limena_auth;
select is(
    pg_temp.refresh('of admin 2', 'of admin 3') -> 'tenant_id',
    'null'::jsonb,
    'so does who has been removed from the tenant'
);
reset role;
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('c'), tests.user_id('a', 'admin'), 'viewer');
update limena.sessions set current_tenant_id = tests.tenant_id('c')
where id = tests.id('session', 'a admin');
update limena.tenants set state = 'deleted'
where id = tests.tenant_id('c');
set local role limena_auth;
select is(
    pg_temp.refresh('of admin 3', 'of admin 4') -> 'tenant_id', 'null'::jsonb, 'and whose tenant has been deleted'
);

-- Nothing of a hash is in the log.
reset role;
select is_empty(
    $$select l.id
    from limena.audit_logs as l
    cross join limena.refresh_tokens as r
    where position(encode(r.token_hash, 'hex') in l::text) > 0$$,
    'no hash of a token is in the log'
);

-- Who may call it.
set local role limena_app;
select is(tests.outcome('select limena.refresh_session(sha256(''x''), sha256(''y''))'), '42501', 'not for limena_app');
set local role limena_readonly;
select
    is(
        tests.outcome('select limena.refresh_session(sha256(''x''), sha256(''y''))'), '42501', 'nor for limena_readonly'
    );
set local role limena_maintenance;
select is(
    tests.outcome('select limena.refresh_session(sha256(''x''), sha256(''y''))'), '42501', 'nor for limena_maintenance'
);

select * from finish();
rollback;
