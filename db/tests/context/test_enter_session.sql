-- limena.enter_session(): who gets in, as what, and how soon they no longer do. Fails without the checks of
-- db/functions/context/enter_session.sql; that it waits for nobody takes two connections: api/tests/test_entering.py.
begin;
select plan(52);

select tests.make_tenants();

-- Who gets in, as what.
set local role limena_app;
select ok(
    limena.enter_session(
        p_secret_hash => tests.session_hash('a', 'admin'),
        p_tenant_id => tests.tenant_id('a'),
        p_request_id => 'request 1',
        p_ip => '2001:db8::1',
        p_user_agent => 'agent 1'
    ),
    'a session of a member gets in'
);
select is(
    limena.current_context(),
    jsonb_build_object(
        'tenant_id', tests.tenant_id('a'),
        'actor_type', 'user',
        'actor_id', tests.user_id('a', 'admin'),
        'actor_label', 'admin@a.example',
        'user_id', tests.user_id('a', 'admin'),
        'role', 'admin',
        'permissions', (
            select jsonb_agg(m.permission order by m.permission)
            from limena.permission_matrix as m
            where m.role = 'admin'
        ),
        'withheld', '[]'::jsonb,
        'session_id', tests.id('session', 'a admin'),
        'request_id', 'request 1',
        'ip', '2001:db8::1',
        'user_agent', 'agent 1',
        'key_name', null,
        'key_prefix', null
    ),
    'as that person, with the role of the moment'
);
select is(limena.current_tenant_id(), tests.tenant_id('a'), 'in that tenant');
select is(current_setting('app.current_tenant_id'), tests.tenant_id('a')::text, 'which is there for people to read');
select is(limena.current_user_id(), tests.user_id('a', 'admin'), 'the person is current');

select ok(limena.enter_session(tests.session_hash('b', 'viewer'), tests.tenant_id('b')), 'somebody else gets in after');
select is(limena.current_tenant_id(), tests.tenant_id('b'), 'and nothing of the first is left');
select is(
    limena.current_context() - 'permissions',
    jsonb_build_object(
        'tenant_id', tests.tenant_id('b'),
        'actor_type', 'user',
        'actor_id', tests.user_id('b', 'viewer'),
        'actor_label', 'viewer@b.example',
        'user_id', tests.user_id('b', 'viewer'),
        'role', 'viewer',
        'withheld', '[]'::jsonb,
        'session_id', tests.id('session', 'b viewer'),
        'request_id', null,
        'ip', null,
        'user_agent', null,
        'key_name', null,
        'key_prefix', null
    ),
    'what the call does not say is null'
);

select ok(limena.enter_session(tests.session_hash('a', 'owner'), null), 'a person gets in without a tenant');
select is(
    limena.current_context(),
    jsonb_build_object(
        'tenant_id', null,
        'actor_type', 'user',
        'actor_id', tests.user_id('a', 'owner'),
        'actor_label', 'owner@a.example',
        'user_id', tests.user_id('a', 'owner'),
        'role', null,
        'permissions', '[]'::jsonb,
        'withheld', '[]'::jsonb,
        'session_id', tests.id('session', 'a owner'),
        'request_id', null,
        'ip', null,
        'user_agent', null,
        'key_name', null,
        'key_prefix', null
    ),
    'as themselves, with no role and no permission'
);
select is(limena.current_tenant_id(), null, 'in no tenant');
select is(tests.outcome('select id from limena.tenants'), '0', 'whose rows are not there');

select limena.enter_session(
    tests.session_hash('a', 'owner'), tests.tenant_id('a'), repeat('ü', 100), '192.0.2.1/24', repeat('ü', 1000)
);
select is(
    limena.current_context()
    - '{tenant_id, actor_type, actor_id, actor_label, user_id, role, permissions, withheld}'::text[]
    - '{session_id, key_name, key_prefix}'::text[],
    jsonb_build_object('request_id', repeat('ü', 64), 'ip', '192.0.2.1', 'user_agent', repeat('ü', 512)),
    'what a client can make long is cut'
);

-- Who does not. One answer for all, so that nothing can be learned from it.
select
    is(
        tests.error_of(format('select limena.enter_session(%L, %L)', w.secret_hash, w.tenant_id)),
        '28000 the session is not valid',
        w.description
    )
from (
    values
    (null::bytea, tests.tenant_id('a'), 'no secret'),
    ('', tests.tenant_id('a'), 'an empty secret'),
    (sha256('unknown'), tests.tenant_id('a'), 'an unknown secret'),
    (sha256('unknown'), null, 'an unknown secret, without a tenant'),
    (convert_to('session a owner', 'UTF8'), tests.tenant_id('a'), 'the secret itself instead of its hash'),
    (tests.session_hash('a', 'owner'), tests.tenant_id('b'), 'another tenant'),
    (tests.session_hash('a', 'owner'), tests.id('tenant', 'none'), 'a tenant that does not exist'),
    (tests.session_hash('a', 'owner'), '00000000-0000-4000-8000-000000000000', 'the reserved tenant'),
    (tests.key_hash('a'), tests.tenant_id('a'), 'a key''s hash')
) as w (secret_hash, tenant_id, description);
select is(limena.current_tenant_id(), tests.tenant_id('a'), 'a refusal leaves the context as it was');
select tests.leave();
select throws_ok(
    format('select limena.enter_session(%L, %L)', tests.session_hash('a', 'owner'), tests.tenant_id('b')),
    '28000',
    null,
    'refused without a context'
);
select is(limena.current_context(), null, 'a refusal makes none');

-- What takes effect at the very next call, in this transaction, which is as soon as it can be.
reset role;
create function pg_temp.entering_after(p_statement text, p_tenant_id uuid default tests.tenant_id('a'))
returns text
language plpgsql
as $$
declare
    v_answer text;
begin
    begin
        reset role;
        execute p_statement;
        set local role limena_app;
        v_answer := coalesce(
            tests.error_of(
                format('select limena.enter_session(%L, %L)', tests.session_hash('a', 'admin'), p_tenant_id)
            ),
            'enters'
        );
        raise exception '%', v_answer using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;
select is(pg_temp.entering_after(w.statement, w.tenant_id), w.answer, w.description)
from (
    values
    ('select 1', tests.tenant_id('a'), 'enters', 'nothing happened: enters'),
    (
        $$update limena.sessions set ended_at = now() where id = tests.id('session', 'a admin')$$, tests.tenant_id('a'),
        '28000 the session is not valid', 'an ended session is refused'
    ),
    (
        $$update limena.sessions set ended_at = now() where id = tests.id('session', 'a admin')$$, null,
        '28000 the session is not valid', 'without a tenant too'
    ),
    (
        $$update limena.sessions set ended_at = now() where id = tests.id('session', 'a owner')$$, tests.tenant_id('a'),
        'enters', 'that of another person does not matter'
    ),
    (
        $$update limena.sessions set expires_at = clock_timestamp() where id = tests.id('session', 'a admin')$$,
        tests.tenant_id('a'), '28000 the session is not valid', 'an expired session is refused'
    ),
    (
        -- By the clock: now() stands still during a transaction, and this is later than now() was.
        $$update limena.sessions
        set expires_at = now() + (clock_timestamp() - now()) / 2
        where id = tests.id('session', 'a admin')$$,
        tests.tenant_id('a'),
        '28000 the session is not valid',
        'one that expired since the transaction began is refused'
    ),
    (
        $$update limena.sessions set expires_at = now() + interval '1 hour' where id = tests.id('session', 'a admin')$$,
        tests.tenant_id('a'), 'enters', 'one that is about to expire is not'
    ),
    (
        $$delete from limena.memberships where user_id = tests.user_id('a', 'admin')$$, tests.tenant_id('a'),
        '28000 the session is not valid', 'a removed member is refused'
    ),
    (
        $$delete from limena.memberships where user_id = tests.user_id('a', 'admin')$$, null, 'enters',
        'but still a person'
    ),
    (
        $$update limena.tenants set state = 'deleted' where id = tests.tenant_id('a')$$, tests.tenant_id('a'),
        '28000 the session is not valid', 'a deleted tenant is entered by nobody'
    ),
    (
        $$update limena.tenants set state = 'deleted' where id = tests.tenant_id('a')$$, null, 'enters',
        'its people are still people'
    ),
    (
        $$update limena.tenants set state = 'deleted' where id = tests.tenant_id('b')$$, tests.tenant_id('a'), 'enters',
        'that of another tenant does not matter'
    ),
    (
        $$delete from limena.users where id = tests.user_id('a', 'admin')$$, null, '28000 the session is not valid',
        'a deleted person is refused'
    )
) as w (statement, tenant_id, answer, description);

-- A lowered role.
set local role limena_app;
select tests.enter_as('a', 'admin');
select ok(limena.has_permission('api_keys:write'), 'an admin may write keys');
reset role;
update limena.memberships set role = 'viewer'
where user_id = tests.user_id('a', 'admin');
set local role limena_app;
select tests.enter_as('a', 'admin');
select is(limena.current_context() ->> 'role', 'viewer', 'at the next entrance the role is the lowered one');
select is(
    limena.current_permissions(),
    '{ai:read, integrations:read, members:read, tenant:read}',
    'and so are the permissions'
);
reset role;
update limena.memberships set role = 'owner'
where user_id = tests.user_id('a', 'admin');
set local role limena_app;
select tests.enter_as('a', 'admin');
select ok(limena.has_permission('tenant:own'), 'a raised role counts as soon');

-- Someone in two tenants is in each what they are there.
reset role;
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer');
set local role limena_app;
select ok(
    limena.enter_session(tests.session_hash('a', 'owner'), tests.tenant_id('b')),
    'a person of two tenants enters either'
);
select is(limena.current_context() ->> 'role', 'viewer', 'with the role that they have in it');
select ok(limena.enter_session(tests.session_hash('a', 'owner'), tests.tenant_id('a')), 'the other');
select is(limena.current_context() ->> 'role', 'owner', 'with the other role');

-- The last use, at most once a minute.
reset role;
create function pg_temp.seen_after(p_age interval)
returns interval
language plpgsql
as $$
declare
    v_seen interval;
begin
    reset role;
    update limena.session_uses
    set last_seen_at = clock_timestamp() - p_age
    where session_id = tests.id('session', 'b owner');
    set local role limena_app;
    perform tests.enter_as('b', 'owner');
    reset role;
    select clock_timestamp() - u.last_seen_at into v_seen
    from limena.session_uses as u
    where u.session_id = tests.id('session', 'b owner');
    return v_seen;
end;
$$;
select cmp_ok(
    pg_temp.seen_after('61 seconds'),
    '<',
    interval '30 seconds',
    'a use more than a minute after the last is written'
);
select cmp_ok(pg_temp.seen_after('30 seconds'), '>=', interval '30 seconds', 'one within the minute is not');
select cmp_ok(pg_temp.seen_after('1 year'), '<', interval '30 seconds', 'one a year after is');
select is_empty(
    $$select s.session_id
    from limena.session_uses as s
    where s.last_seen_at > now() and s.session_id <> tests.id('session', 'b owner')$$,
    'no other session was seen'
);

-- In a read-only transaction one enters all the same, and writes nothing.
update limena.session_uses set last_seen_at = now() - interval '1 hour';
create function pg_temp.entering_read_only()
returns text
language plpgsql
as $$
declare
    v_tenant_id uuid;
    v_age interval;
begin
    begin
        set local transaction_read_only = on;
        set local role limena_app;
        perform tests.enter_as('a', 'owner');
        v_tenant_id := limena.current_tenant_id();
        reset role;
        select now() - u.last_seen_at into v_age
        from limena.session_uses as u
        where u.session_id = tests.id('session', 'a owner');
        raise exception '%', format('in %s, seen %s ago', v_tenant_id, v_age) using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;
select is(
    pg_temp.entering_read_only(),
    format('in %s, seen 01:00:00 ago', tests.tenant_id('a')),
    'one enters a read-only transaction, which is not written down'
);

-- Entering is no event: the log does not grow with reads.
create temporary table logged as select count(*) as rows from limena.audit_logs;
set local role limena_app;
select tests.enter_as('a', 'owner');
select tests.enter_as('b', 'viewer');
reset role;
select is((select count(*) from limena.audit_logs), g.rows, 'entering is not logged') from logged as g;

select * from finish();
rollback;
