-- limena.find_password(), limena.change_password() and limena.rehash_password(): which hash was verified, and what
-- ends. Fails without the functions.
begin;
select plan(38);

select tests.make_tenants();
-- The owner of a is also in b, and has two more sessions, one of them over; someone else has an open reset, too.
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer');
insert into limena.sessions (id, user_id, secret_hash, ended_at, expires_at)
values
(tests.id('session', 'second'), tests.user_id('a', 'owner'), sha256('second'), null, 'infinity'),
(tests.id('session', 'third'), tests.user_id('a', 'owner'), sha256('third'), null, 'infinity'),
(tests.id('session', 'ended'), tests.user_id('a', 'owner'), sha256('ended'), '2026-01-01T00:00:00Z', 'infinity'),
(tests.id('session', 'over'), tests.user_id('a', 'owner'), sha256('over'), null, now());
insert into limena.password_resets (user_id, token_hash, used_at)
values
(tests.user_id('a', 'owner'), sha256('open'), null),
(tests.user_id('a', 'owner'), sha256('used'), '2026-01-01T00:00:00Z'),
(tests.user_id('a', 'admin'), sha256('of admin'), null);
update limena.users set password_changed_at = '2026-01-01T00:00:00Z';
create temporary table logged as select l.id from limena.audit_logs as l;
create function pg_temp.added()
returns text[]
language plpgsql
security definer
as $$
declare
    v_lines text[];
begin
    v_lines := array(
        select a.line
        from (
            select concat_ws(
                ' ', right((select t.name from limena.tenants as t where t.id = l.tenant_id), 1) || ':', l.action, 'by', l.actor_label,
                l.request_id, host(l.ip), l.user_agent
            ) as line
            from limena.audit_logs as l
            where l.id not in (select g.id from logged as g)
        ) as a
        order by a.line collate "C"
    );
    insert into logged
    select l.id from limena.audit_logs as l where l.id not in (select g.id from logged as g);
    return v_lines;
end;
$$;
create function pg_temp.hash(p_name text)
returns text
language sql
as $$ select '$2b$04$' || rpad(p_name, 53, '.') $$;
create function pg_temp.changing(p_secret text, p_old text, p_new text)
returns text
language sql
as $$
select tests.error_of(
    format(
        'select limena.change_password(sha256(%L), %L, %L, p_request_id => %L, p_ip => %L, p_user_agent => %L)', p_secret, p_old, p_new,
        'request 1', '192.0.2.1', 'agent 1'
    )
)
$$;

-- find_password().
set local role limena_auth;
select results_eq(
    $$select
        f.user_id, f.password_hash, f.email, f.display_name,
        (select array_agg(n order by n) from unnest(f.tenant_names) as n)
    from limena.find_password(sha256('second')) as f$$,
    $$values (tests.user_id('a', 'owner'), pg_temp.hash(''), 'owner@a.example', 'owner of a', '{Tenant a, Tenant b}'::text[])$$,  -- noqa: LT05
    'the person behind a session, the hash, and the words that a password must not be made of'
);
select is_empty(format('select user_id from limena.find_password(%s)', w.hash), w.description)
from (
    values
    ('sha256(''unknown'')', 'nobody is behind an unknown session'),
    ('sha256(''ended'')', 'one that has ended'),
    ('sha256(''over'')', 'one that is over'),
    ('null', 'none')
) as w (hash, description);

-- change_password(): what it refuses.
select
    is(
        pg_temp.changing('unknown', pg_temp.hash(''), pg_temp.hash('new')),
        '28000 the session is not valid',
        'an unknown session'
    );
select
    is(
        pg_temp.changing('ended', pg_temp.hash(''), pg_temp.hash('new')),
        '28000 the session is not valid',
        'one that has ended'
    );
select
    is(
        pg_temp.changing('over', pg_temp.hash(''), pg_temp.hash('new')),
        '28000 the session is not valid',
        'one that is over'
    );
select is(
    pg_temp.changing('second', pg_temp.hash('stale'), pg_temp.hash('new')),
    '28000 the password was changed meanwhile',
    'a stale hash'
);
select is(pg_temp.changing('second', null, pg_temp.hash('new')), '28000 the password was changed meanwhile', 'no hash');
select
    alike(
        pg_temp.changing('second', pg_temp.hash(''), 'a plain password'),
        '23514 %users_password_hash_check%',
        'a plain password'
    );
select alike(pg_temp.changing('second', pg_temp.hash(''), null), '23502 %column password_hash%', 'none');
reset role;
select is(
    tests.outcome($$select from limena.users where password_hash <> '$2b$04$' || repeat('.', 53)$$),
    '0',
    'nobody''s has changed'
);
select is(pg_temp.added(), '{}', 'and the log has nothing to tell');

-- What it does.
set local role limena_auth;
select limena.change_password(
    sha256('second'),
    pg_temp.hash(''),
    pg_temp.hash('new'),
    p_request_id => 'request 1',
    p_ip => '192.0.2.1',
    p_user_agent => 'agent 1'
);
reset role;
select results_eq(
    $$select u.id from limena.users as u
    where u.password_hash = pg_temp.hash('new') and u.password_changed_at between now() and clock_timestamp()$$,
    array[tests.user_id('a', 'owner')],
    'the person has a new hash, and nobody else'
);
select results_eq(
    $$select s.id from limena.sessions as s
    where s.user_id = tests.user_id('a', 'owner') and s.ended_at is null$$,
    array[tests.id('session', 'second')],
    'their other sessions have ended; this one goes on'
);
select is(
    (
        select s.ended_at from limena.sessions as s
        where s.id = tests.id('session', 'ended')
    ), '2026-01-01T00:00:00Z',
    'what had ended is not written again'
);
select is(
    tests.outcome(
        'select from limena.sessions where ended_at is not null and user_id <> tests.user_id(''a'', ''owner'')'
    ),
    '0',
    'nobody else''s session has ended'
);
select results_eq(
    $$select r.token_hash, r.used_at = '2026-01-01T00:00:00Z' from limena.password_resets as r
    where r.user_id = tests.user_id('a', 'owner') order by r.token_hash = sha256('used')$$,
    $$values (sha256('open'), false), (sha256('used'), true)$$,
    'their open resets are used up'
);
select is(
    (
        select r.used_at from limena.password_resets as r
        where r.token_hash = sha256('of admin')
    ),
    null,
    'and nobody else''s'
);
select is(
    pg_temp.added(),
    array[
        'a: password_reset.used by owner@a.example request 1 192.0.2.1 agent 1',
        'a: session.ended by owner@a.example request 1 192.0.2.1 agent 1',
        'a: session.ended by owner@a.example request 1 192.0.2.1 agent 1',
        'a: session.ended by owner@a.example request 1 192.0.2.1 agent 1',
        'a: user.password_changed by owner@a.example request 1 192.0.2.1 agent 1',
        'b: password_reset.used by owner@a.example request 1 192.0.2.1 agent 1',
        'b: session.ended by owner@a.example request 1 192.0.2.1 agent 1',
        'b: session.ended by owner@a.example request 1 192.0.2.1 agent 1',
        'b: session.ended by owner@a.example request 1 192.0.2.1 agent 1',
        'b: user.password_changed by owner@a.example request 1 192.0.2.1 agent 1'
    ],
    'the log of each of the person''s tenants says so'
);
select is_empty(
    $$select l.id from limena.audit_logs as l where position('$2b$' in l::text) > 0$$, 'and not which'
);
set local role limena_app;
select is(limena.current_tenant_id(), null, 'no tenant is entered by it');
select is(limena.current_permissions(), '{}', 'and nothing is permitted');
set local role limena_auth;
select is(
    pg_temp.changing('second', pg_temp.hash(''), pg_temp.hash('newer')), '28000 the password was changed meanwhile',
    'who verified the old password does not change the new one'
);
select is(
    pg_temp.changing('third', pg_temp.hash('new'), pg_temp.hash('newer')), '28000 the session is not valid',
    'nor does a session that it ended'
);
select is(
    tests.outcome($$select limena.log_in(tests.user_id('a', 'owner'), pg_temp.hash(''), sha256('x'), sha256('y'))$$),
    '28000',
    'nor does the old password log in'
);

-- rehash_password(): no event of its own.
select limena.rehash_password(tests.user_id('a', 'owner'), pg_temp.hash('new'), pg_temp.hash('rehashed'));
reset role;
select results_eq(
    $$select u.id from limena.users as u where u.password_hash = pg_temp.hash('rehashed')$$,
    array[tests.user_id('a', 'owner')],
    'a rehash writes the hash'
);
select ok(
    not exists (
        select from unnest(pg_temp.added()) as l
        where l like '%password_changed%'
    ),
    'it is no changed password to the log'
);
select is(
    (
        select count(*) from limena.sessions as s
        where s.user_id = tests.user_id('a', 'owner') and s.ended_at is null
    ),
    1::bigint,
    'and ends no session'
);
set local role limena_auth;
select limena.rehash_password(tests.user_id('a', 'owner'), w.old_hash, pg_temp.hash('late'))
from (values (pg_temp.hash('new')), (null), ('')) as w (old_hash);
select limena.rehash_password(null, pg_temp.hash('rehashed'), pg_temp.hash('late'));
select limena.rehash_password(tests.user_id('a', 'admin'), pg_temp.hash('rehashed'), pg_temp.hash('late'));
reset role;
select is(
    tests.outcome($$select from limena.users where password_hash = pg_temp.hash('late')$$), '0',
    'a hash that is no longer the one that was verified is left alone'
);
set local role limena_auth;
select alike(
    tests.error_of(
        $$select limena.rehash_password(tests.user_id('a', 'owner'), pg_temp.hash('rehashed'), 'a plain password')$$
    ),
    '23514 %users_password_hash_check%', 'and what is no bcrypt hash is refused'
);

-- Who may call them.
set local role limena_app;
select is(tests.outcome(s.statement), '42501', 'not for limena_app: ' || s.statement)
from (
    values
    ('select limena.find_password(null)'),
    ('select limena.change_password(null, null, null)'),
    ('select limena.rehash_password(null, null, null)')
) as s (statement);
set local role limena_readonly;
select is(tests.outcome(s.statement), '42501', 'nor for limena_readonly: ' || s.statement)
from (
    values
    ('select limena.find_password(null)'),
    ('select limena.change_password(null, null, null)'),
    ('select limena.rehash_password(null, null, null)')
) as s (statement);

select * from finish();
rollback;
