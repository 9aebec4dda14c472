-- limena.current_session_id() and limena.current_session_user_id(): which session acts, if one does. Fails without the
-- functions, and where an API key passes for the session of its creator.
begin;
select plan(27);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
set local role limena_app;

select is(limena.current_session_id(), null, 'no session acts before one has entered');
select is(limena.current_session_user_id(), null, 'and nobody through one');
select tests.enter_as('a', 'member');
select is(limena.current_session_id(), tests.id('session', 'a member'), 'the session that entered');
select is(limena.current_session_user_id(), tests.user_id('a', 'member'), 'and its person');
select limena.enter_session(tests.session_hash('b', 'owner'), null);
select is(limena.current_session_id(), tests.id('session', 'b owner'), 'in no tenant, too');
select is(limena.current_session_user_id(), tests.user_id('b', 'owner'), 'with the person');
select tests.enter_with_key('a');
select is(limena.current_session_id(), null, 'an API key is no session');
select is(limena.current_session_user_id(), null, 'and is not the person for whom it acts');
select is(limena.current_user_id(), tests.user_id('a', 'owner'), '(who is another question)');
select tests.leave();
select is(limena.current_session_id(), null, 'nothing is left afterwards');

-- Forged: each part of the context alone, and all of it with another's seal.
select
    is(
        tests.error_of(
            format(
                'do $do$ begin perform set_config(%L, %L, true); perform limena.%s(); end $do$',
                w.setting,
                w.value,
                f.name
            )
        ),
        '42501 the tenant context does not match its seal',
        format('%s with a forged %s', f.name, w.setting)
    )
from (values ('current_session_id'), ('current_session_user_id')) as f (name)
cross join (
    values
    ('app.current_tenant_id', tests.tenant_id('b')::text),
    (
        'app.context',
        jsonb_build_object('session_id', tests.id('session', 'b owner'), 'user_id', tests.user_id('b', 'owner'))::text
    ),
    ('app.seal', repeat('0', 64))
) as w (setting, value);
select tests.enter_with_key('a');
select
    is(
        tests.error_of(
            format(
                'do $do$ begin perform set_config(%L, jsonb_set(current_setting(%L)::jsonb, %L, %L)::text, true); perform limena.%s(); end $do$',  -- noqa: LT05
                'app.context', 'app.context', '{session_id}', to_jsonb(tests.id('session', 'a owner')), f.name
            )
        ),
        '42501 the tenant context does not match its seal',
        f.name || ': a key that puts its creator''s session into its context'
    )
from (values ('current_session_id'), ('current_session_user_id')) as f (name);
select tests.enter_as('a', 'viewer');
select
    is(
        tests.error_of(
            format(
                'do $do$ begin perform set_config(%L, jsonb_set(current_setting(%L)::jsonb, %L, %L)::text, true); perform limena.%s(); end $do$',  -- noqa: LT05
                'app.context', 'app.context', '{user_id}', to_jsonb(tests.user_id('a', 'owner')), f.name
            )
        ),
        '42501 the tenant context does not match its seal',
        f.name || ': a session that puts another person into its context'
    )
from (values ('current_session_id'), ('current_session_user_id')) as f (name);
select tests.leave();

-- What they are.
reset role;
select is(
    array(
        select concat_ws(' ', p.proname, p.provolatile, p.proparallel, p.prosecdef) as line
        from pg_proc as p
        where p.proname ~ '^current_session' and p.pronamespace = 'limena'::regnamespace
        order by line
    ),
    '{current_session_id s r t,current_session_user_id s r t}',
    'STABLE, and restricted to the leader of a parallel query'
);

-- Who may call them.
set local role limena_auth;
select is(tests.outcome(s.statement), '42501', 'not for limena_auth: ' || s.statement)
from (values ('select limena.current_session_id()'), ('select limena.current_session_user_id()')) as s (statement);
set local role limena_readonly;
select is(tests.outcome(s.statement), '42501', 'nor for limena_readonly: ' || s.statement)
from (values ('select limena.current_session_id()'), ('select limena.current_session_user_id()')) as s (statement);
set local role limena_maintenance;
select is(tests.outcome(s.statement), '42501', 'nor for limena_maintenance: ' || s.statement)
from (values ('select limena.current_session_id()'), ('select limena.current_session_user_id()')) as s (statement);

select * from finish();
rollback;
