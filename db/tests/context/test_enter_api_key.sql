-- limena.enter_api_key(): which key gets in, as what, and how soon it no longer does. Fails without the checks of
-- db/functions/context/enter_api_key.sql; that it waits for nobody takes two connections: api/tests/test_entering.py.
begin;
select plan(39);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'key', p_scopes => '{tenant:own, api_keys:read, members:read}');
select tests.make_api_key(
    p_tenant => 'a',
    p_name => 'of viewer',
    p_scopes => '{tenant:own, members:read}',
    p_creator => 'viewer'
);
select tests.make_api_key(
    p_tenant => 'a',
    p_name => 'of admin',
    p_scopes => '{api_keys:write, ai:use}',
    p_creator => 'admin'
);
select tests.make_api_key(p_tenant => 'a', p_name => 'without', p_scopes => '{tenant:own}', p_creator => 'viewer');
select tests.make_api_key(p_tenant => 'a', p_name => 'strange', p_scopes => '{members:read, no:such}');
select tests.make_api_key(p_tenant => 'b', p_name => 'key', p_scopes => '{members:read}');

-- Which key gets in, as what.
set local role limena_app;
select ok(
    limena.enter_api_key(
        p_key_hash => tests.key_hash('a', 'key'),
        p_request_id => 'request 1',
        p_ip => '192.0.2.1',
        p_user_agent => 'agent 1'
    ),
    'a key gets in'
);
select is(
    limena.current_context(),
    jsonb_build_object(
        'tenant_id', tests.tenant_id('a'),
        'actor_type', 'api_key',
        'actor_id', tests.api_key_id('a', 'key'),
        'actor_label', 'key (lmn_tests0…0000)',
        'user_id', tests.user_id('a', 'owner'),
        'role', 'owner',
        'permissions', '["api_keys:read", "members:read", "tenant:own"]'::jsonb,
        'withheld', '[]'::jsonb,
        'session_id', null,
        'request_id', 'request 1',
        'ip', '192.0.2.1',
        'user_agent', 'agent 1',
        'key_name', 'key',
        'key_prefix', 'lmn_tests0'
    ),
    'as itself, for its creator, with its scopes'
);
select is(
    limena.current_tenant_id(),
    tests.tenant_id('a'),
    'the tenant is the key''s: there is no way to name another'
);
select is(limena.current_user_id(), tests.user_id('a', 'owner'), 'and so is its creator');

select tests.enter_with_key('a', 'of viewer');
select is(limena.current_permissions(), '{members:read}', 'a scope that the creator lacks opens nothing');
select tests.enter_with_key('a', 'without');
select is(limena.current_permissions(), '{}', 'not even where none is left');
select is(limena.current_tenant_id(), tests.tenant_id('a'), 'though the key gets in');
select tests.enter_with_key('a', 'strange');
select is(limena.current_permissions(), '{members:read}', 'a scope that is no permission opens nothing');

-- Which does not. One answer for all, so that nothing can be learned from it.
select tests.enter_with_key('b');
select
    is(
        tests.error_of(format('select limena.enter_api_key(%L)', w.key_hash)),
        '28000 the API key is not valid',
        w.description
    )
from (
    values
    (null::bytea, 'no key'),
    ('', 'an empty key'),
    (sha256('unknown'), 'an unknown key'),
    (convert_to('key a key', 'UTF8'), 'the key itself instead of its hash'),
    (tests.session_hash('a', 'owner'), 'a session''s hash')
) as w (key_hash, description);
select is(limena.current_tenant_id(), tests.tenant_id('b'), 'a refusal leaves the context as it was');
select tests.leave();
select throws_ok($$select limena.enter_api_key('\x00')$$, '28000', null, 'refused without a context');
select is(limena.current_context(), null, 'a refusal makes none');

-- What takes effect at the very next call, in this transaction, which is as soon as it can be. Where it enters: with
-- which permissions.
reset role;
create function pg_temp.entering_after(p_statement text)
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
        v_answer := tests.error_of(format('select limena.enter_api_key(%L)', tests.key_hash('a', 'of admin')));
        if v_answer is null then
            perform tests.enter_with_key('a', 'of admin');
            v_answer := limena.current_permissions()::text;
        end if;
        raise exception '%', v_answer using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;
select is(pg_temp.entering_after(w.statement), w.answer, w.description)
from (
    values
    ('select 1', '{ai:use,api_keys:write}', 'nothing happened: enters'),
    (
        $$update limena.api_keys set revoked_at = now() where name = 'of admin'$$, '28000 the API key is not valid',
        'a revoked key is refused'
    ),
    (
        $$update limena.api_keys set revoked_at = now() where name <> 'of admin'$$, '{ai:use,api_keys:write}',
        'that of another key does not matter'
    ),
    (
        $$update limena.api_keys
        set created_at = now() - interval '1 day', expires_at = now() - interval '1 second'
        where name = 'of admin'$$,
        '28000 the API key is not valid', 'an expired key is refused'
    ),
    (
        -- By the clock: now() stands still during a transaction, and this is later than now() was.
        $$update limena.api_keys set expires_at = now() + (clock_timestamp() - now()) / 2 where name = 'of admin'$$,
        '28000 the API key is not valid', 'one that expired since the transaction began is refused'
    ),
    (
        $$update limena.api_keys set expires_at = now() + interval '1 hour' where name = 'of admin'$$,
        '{ai:use,api_keys:write}', 'one that is about to expire is not'
    ),
    (
        $$delete from limena.memberships
        where user_id = tests.user_id('a', 'admin')$$, '28000 the API key is not valid',
        'the key of a removed member is refused'
    ),
    (
        $$update limena.memberships set role = 'member' where user_id = tests.user_id('a', 'admin')$$, '{ai:use}',
        'a key loses what its creator loses'
    ),
    (
        $$update limena.memberships set role = 'viewer' where user_id = tests.user_id('a', 'admin')$$, '{}',
        'all of it where nothing is left'
    ),
    (
        $$delete from limena.role_permissions where role = 'admin' and permission = 'ai:use'$$, '{api_keys:write}',
        'and what its creator''s role loses'
    ),
    (
        $$update limena.tenants set state = 'deleted'
        where id = tests.tenant_id('a')$$, '28000 the API key is not valid',
        'a deleted tenant is entered by no key'
    ),
    (
        $$update limena.tenants set state = 'deleted' where id = tests.tenant_id('b')$$, '{ai:use,api_keys:write}',
        'that of another tenant does not matter'
    ),
    (
        $$update limena.sessions set ended_at = now()$$, '{ai:use,api_keys:write}', 'a key does not depend on sessions'
    )
) as w (statement, answer, description);

-- A creator who is in another tenant, or no longer in this one.
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'admin'), 'owner');
delete from limena.memberships
where tenant_id = tests.tenant_id('a') and user_id = tests.user_id('a', 'admin');
set local role limena_app;
select throws_ok(
    $$select tests.enter_with_key('a', 'of admin')$$,
    '28000',
    null,
    'what its creator is in another tenant helps a key nothing'
);

-- The last use, at most once a minute.
reset role;
create function pg_temp.used_after(p_age interval)
returns interval
language plpgsql
as $$
declare
    v_used interval;
begin
    reset role;
    update limena.api_key_uses
    set last_used_at = clock_timestamp() - p_age
    where api_key_id = tests.api_key_id('b');
    set local role limena_app;
    perform tests.enter_with_key('b');
    reset role;
    select clock_timestamp() - u.last_used_at into v_used
    from limena.api_key_uses as u
    where u.api_key_id = tests.api_key_id('b');
    return v_used;
end;
$$;
select cmp_ok(pg_temp.used_after(null), '<', interval '30 seconds', 'the first use is written');
select cmp_ok(
    pg_temp.used_after('61 seconds'),
    '<',
    interval '30 seconds',
    'one more than a minute after the last too'
);
select cmp_ok(pg_temp.used_after('30 seconds'), '>=', interval '30 seconds', 'one within the minute is not');
select is_empty(
    $$select u.api_key_id
    from limena.api_key_uses as u
    inner join limena.api_keys as k on u.tenant_id = k.tenant_id and u.api_key_id = k.id
    where u.last_used_at is not null
        and k.name not in ('key', 'of viewer', 'of admin', 'without', 'strange')$$,
    'no other key was used'
);

-- In a read-only transaction one enters all the same, and writes nothing.
update limena.api_key_uses set last_used_at = null;
create function pg_temp.entering_read_only()
returns text
language plpgsql
as $$
declare
    v_tenant_id uuid;
    v_uses bigint;
begin
    begin
        set local transaction_read_only = on;
        set local role limena_app;
        perform tests.enter_with_key('a');
        v_tenant_id := limena.current_tenant_id();
        reset role;
        select count(u.last_used_at) into v_uses from limena.api_key_uses as u;
        raise exception '%', format('in %s, %s uses', v_tenant_id, v_uses) using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;
select is(
    pg_temp.entering_read_only(),
    format('in %s, 0 uses', tests.tenant_id('a')),
    'one enters a read-only transaction, which is not written down'
);

-- A key that this transaction makes could be rolled back, and the log would tell of a key that never was.
set local role limena_app;
select tests.enter_as('a');
select lives_ok(
    $$select limena.create_api_key('new', '{ai:use}', 'lmn_000000', '0000', sha256('new'))$$, 'a key is made'
);
select is(
    tests.error_of($$select limena.enter_api_key(sha256('new'))$$),
    '28000 the API key is not valid',
    'and gets in when its transaction is over'
);
reset role;

-- A key whose row of uses is missing gets in as well.
delete from limena.api_key_uses;
set local role limena_app;
select ok(tests.enter_with_key('a'), 'a key without a row of uses gets in');
reset role;

-- Entering is no event: the log does not grow with reads.
create temporary table logged as select count(*) as rows from limena.audit_logs;
set local role limena_app;
select tests.enter_with_key('a');
select tests.enter_with_key('b');
reset role;
select is((select count(*) from limena.audit_logs), g.rows, 'entering is not logged') from logged as g;

select * from finish();
rollback;
