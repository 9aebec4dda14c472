-- limena.request_password_reset(), limena.find_password_reset() and limena.reset_password(): a link by mail that is
-- good once, for an hour. Fails without the functions, and where a stranger learns whose address is known.
begin;
select plan(41);

select tests.make_tenants();
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer');
insert into limena.sessions (user_id, secret_hash) values (tests.user_id('a', 'owner'), sha256('second'));
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
                ' ', replace((select t.name from limena.tenants as t where t.id = l.tenant_id), 'Tenant ', '') || ':', l.action, 'by',
                l.actor_label, l.request_id, host(l.ip), l.user_agent
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
create function pg_temp.requesting(p_email text, p_name text)
returns text
language sql
as $$
select limena.request_password_reset(
    p_email, tests.id('mail', p_name), sha256(p_name::bytea), p_request_id => 'request 1', p_ip => '192.0.2.1', p_user_agent => 'agent 1'
)::text
$$;
create function pg_temp.resetting(p_name text, p_hash text)
returns text
language sql
as $$
select tests.error_of(
    format(
        'select limena.reset_password(sha256(%L), %L, p_request_id => %L, p_ip => %L, p_user_agent => %L)', p_name, p_hash, 'request 2',
        '192.0.2.2', 'agent 2'
    )
)
$$;

-- Requested.
set local role limena_auth;
select is(pg_temp.requesting(' OWNER@a.example ', 'first'), '', 'a known address, however it is written');
reset role;
select results_eq(
    'select r.user_id, r.token_hash, r.created_at, r.expires_at, r.used_at from limena.password_resets as r',
    $$values (tests.user_id('a', 'owner'), sha256('first'), now(), now() + interval '1 hour', null::timestamptz)$$,
    'has a reset, for one hour'
);
select results_eq(
    $$select to_jsonb(o) - '{created_at, due_at, expires_at}'::text[], o.expires_at - o.created_at
    from limena.outbox as o$$,
    $$values (
        jsonb_build_object(
            'tenant_id', '00000000-0000-4000-8000-000000000000', 'id', tests.id('mail', 'first'), 'template', 'password_reset',
            'recipient', 'owner@a.example', 'parameters', jsonb_build_object('display_name', 'owner of a'), 'attempts', 0,
            'delivered_at', null, 'abandoned_at', null
        ),
        interval '1 hour'
    )$$,
    'and a mail, to the address that is known, without the token, for as long'
);
select is(
    pg_temp.added(),
    array[
        'a: password_reset.created by unauthenticated request 1 192.0.2.1 agent 1',
        'a: user.password_reset_requested by unauthenticated request 1 192.0.2.1 agent 1',
        'b: password_reset.created by unauthenticated request 1 192.0.2.1 agent 1',
        'b: user.password_reset_requested by unauthenticated request 1 192.0.2.1 agent 1',
        'platform: mail.created by unauthenticated request 1 192.0.2.1 agent 1'
    ],
    'the log of each of the person''s tenants says so'
);
set local role limena_auth;
select is(pg_temp.requesting('nobody@a.example', 'unknown'), '', 'an unknown address gets the same answer');
select is(pg_temp.requesting(w.email, 'unknown'), '', 'so does ' || w.description)
from (values ('%', 'a pattern'), ('', 'an empty one'), (null, 'none')) as w (email, description);
reset role;
select is(
    array[(select count(*) from limena.password_resets), (select count(*) from limena.outbox)],
    '{1, 1}',
    'there is no mail to nobody'
);
select is(
    pg_temp.added(),
    array_fill(
        'platform: user.password_reset_requested by unauthenticated request 1 192.0.2.1 agent 1'::text, array[4]
    ),
    'a request leaves its trace in the platform''s log'
);
select is_empty(
    $$select l.id from limena.audit_logs as l where position('nobody@' in l::text) > 0$$,
    'without the address that was typed'
);
select is_empty(
    $$select l.id from limena.audit_logs as l where position(encode(sha256('first'), 'hex') in l::text) > 0$$,
    'and no log has a hash'
);
set local role limena_auth;
select alike(
    tests.error_of($$select pg_temp.requesting('owner@a.example', 'first')$$), '23505 %', 'no token is given out twice'
);
select alike(
    tests.error_of($$select limena.request_password_reset('owner@a.example', gen_random_uuid(), 'plain token')$$),
    '23514 %password_resets_token_hash_check%', 'what is no SHA-256 is no token''s hash'
);

-- Who shows a token.
select results_eq(
    $$select f.email, f.display_name, (select array_agg(n order by n) from unnest(f.tenant_names) as n)
    from limena.find_password_reset(sha256('first')) as f$$,
    $$values ('owner@a.example', 'owner of a', '{Tenant a, Tenant b}'::text[])$$,
    'the words that a new password must not be made of'
);
select is_empty('select email from limena.find_password_reset(sha256(''x''))', 'nothing for an unknown token');
select is_empty('select email from limena.find_password_reset(null)', 'or none');
select isnt_empty('select email from limena.find_password_reset(sha256(''first''))', 'asking does not use it up');

-- What is refused.
select is(pg_temp.resetting('x', pg_temp.hash('new')), 'P0002 there is no such reset', 'an unknown token');
select is(tests.error_of('select limena.reset_password(null, ''x'')'), 'P0002 there is no such reset', 'none');
select alike(pg_temp.resetting('first', 'a plain password'), '23514 %users_password_hash_check%', 'a plain password');
select alike(pg_temp.resetting('first', null), '23502 %column password_hash%', 'none');
reset role;
update limena.password_resets set expires_at = clock_timestamp();
set local role limena_auth;
select is(pg_temp.resetting('first', pg_temp.hash('new')), 'P0002 there is no such reset', 'a token after its hour');
select is_empty('select email from limena.find_password_reset(sha256(''first''))', 'which names nobody any more');
reset role;
update limena.password_resets set expires_at = now() + interval '1 hour';
select pg_temp.added() is null;
set local role limena_auth;
select pg_temp.requesting('owner@a.example', 'second');
select pg_temp.requesting('admin@a.example', 'of admin');
reset role;
select pg_temp.added() is null;
update limena.users set password_changed_at = '2026-01-01T00:00:00Z';
select pg_temp.added() is null;

-- Reset.
set local role limena_auth;
select limena.reset_password(
    sha256('first'), pg_temp.hash('new'), p_request_id => 'request 2', p_ip => '192.0.2.2', p_user_agent => 'agent 2'
);
reset role;
select results_eq(
    $$select u.id from limena.users as u
    where u.password_hash = pg_temp.hash('new') and u.password_changed_at between now() and clock_timestamp()$$,
    array[tests.user_id('a', 'owner')],
    'the person has a new hash, and nobody else'
);
select is(
    array[
        (
            select count(*) from limena.sessions as s
            where s.user_id = tests.user_id('a', 'owner') and s.ended_at is null
        ),
        (
            select count(*) from limena.sessions as s
            where s.user_id <> tests.user_id('a', 'owner') and s.ended_at is not null
        )
    ],
    '{0, 0}',
    'every session of theirs has ended, and nobody else''s'
);
select results_eq(
    'select r.token_hash from limena.password_resets as r where r.used_at is null', array[sha256('of admin')],
    'so has every link of theirs'
);
select is(
    pg_temp.added(),
    array[
        'a: password_reset.used by owner@a.example request 2 192.0.2.2 agent 2',
        'a: password_reset.used by owner@a.example request 2 192.0.2.2 agent 2',
        'a: session.ended by owner@a.example request 2 192.0.2.2 agent 2',
        'a: session.ended by owner@a.example request 2 192.0.2.2 agent 2',
        'a: user.password_changed by owner@a.example request 2 192.0.2.2 agent 2',
        'a: user.password_reset by owner@a.example request 2 192.0.2.2 agent 2',
        'b: password_reset.used by owner@a.example request 2 192.0.2.2 agent 2',
        'b: password_reset.used by owner@a.example request 2 192.0.2.2 agent 2',
        'b: session.ended by owner@a.example request 2 192.0.2.2 agent 2',
        'b: session.ended by owner@a.example request 2 192.0.2.2 agent 2',
        'b: user.password_changed by owner@a.example request 2 192.0.2.2 agent 2',
        'b: user.password_reset by owner@a.example request 2 192.0.2.2 agent 2'
    ],
    'the log of each of the person''s tenants says so'
);
set local role limena_auth;
select is(pg_temp.resetting('first', pg_temp.hash('newer')), 'P0002 there is no such reset', 'a token is good once');
select
    is(
        pg_temp.resetting('second', pg_temp.hash('newer')),
        'P0002 there is no such reset',
        'and one reset uses up the others'
    );
select is_empty('select email from limena.find_password_reset(sha256(''second''))', 'which name nobody any more');
select is(
    tests.outcome($$select limena.log_in(tests.user_id('a', 'owner'), pg_temp.hash(''), sha256('x'), sha256('y'))$$),
    '28000',
    'the old password does not log in'
);
select is(
    tests.outcome($$select limena.log_in(tests.user_id('a', 'owner'), pg_temp.hash('new'), sha256('x'), sha256('y'))$$),
    '1',
    'the new one does'
);
set local role limena_app;
select is(limena.current_tenant_id(), null, 'no tenant is entered by it');
select is(tests.outcome('select tests.enter_as(''a'', ''owner'')'), '28000', 'nor by the sessions that it ended');

-- Who may call them.
select is(tests.outcome(s.statement), '42501', 'not for limena_app: ' || s.statement)
from (
    values
    ('select limena.request_password_reset(null, null, null)'),
    ('select limena.find_password_reset(null)'),
    ('select limena.reset_password(null, null)')
) as s (statement);
set local role limena_maintenance;
select is(tests.outcome(s.statement), '42501', 'nor for limena_maintenance: ' || s.statement)
from (
    values
    ('select limena.request_password_reset(null, null, null)'),
    ('select limena.find_password_reset(null)'),
    ('select limena.reset_password(null, null)')
) as s (statement);

select * from finish();
rollback;
