-- limena.current_…(): what a context says to whoever asks, and that each of them refuses one that was touched. Fails
-- without limena_private.verified_context(). What else an attacker would try with a context is in db/tests/attacks/.
begin;
select plan(27);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_scopes => '{members:read, audit:read}');

-- Without a context: never set, and set before and empty now, which reads '' and not NULL.
set local role limena_app;
select is(limena.current_tenant_id(), null, 'no context: no tenant');
select is(limena.current_user_id(), null, 'no user');
select is(limena.current_context(), null, 'nothing at all');
select is(limena.current_permissions(), '{}', 'no permission');
select ok(not limena.has_permission('tenant:read'), 'not even that of seeing where one is');
select is(
    tests.outcome($$select tests.enter_as('a') from limena.tenants$$), '0', 'one that was entered and undone'
);
select is(limena.current_tenant_id(), null, 'is gone');
select tests.enter_as('a');
select tests.leave();
select is(limena.current_tenant_id(), null, 'a context that was left is gone');
select is(limena.current_context(), null, 'all of it');

-- A person.
select tests.enter_as('a', 'member');
select is(limena.current_tenant_id(), tests.tenant_id('a'), 'a person: the tenant');
select is(limena.current_user_id(), tests.user_id('a', 'member'), 'the user');
select is(
    limena.current_permissions(), '{ai:read, ai:use, integrations:read, integrations:use, members:read, tenant:read}',
    'the permissions of the role, in order'
);

-- A key.
select tests.enter_with_key('a');
select is(limena.current_tenant_id(), tests.tenant_id('a'), 'a key: the tenant');
select is(limena.current_user_id(), tests.user_id('a', 'owner'), 'the creator');
select is(limena.current_permissions(), '{audit:read, members:read}', 'its scopes');

-- A person in no tenant.
select limena.enter_session(tests.session_hash('a', 'member'), null);
select is(limena.current_tenant_id(), null, 'a person in no tenant: no tenant');
select is(limena.current_user_id(), tests.user_id('a', 'member'), 'the user');
select is(limena.current_permissions(), '{}', 'no permission');

-- One setting touched, and each function refuses all of them.
select tests.enter_as('a', 'owner');
select
    is(
        (
            select
                array_agg(
                    distinct tests.error_of(
                        format('select set_config(%L, %L, true); select limena.%s', t.setting, t.value, f.call)
                    )
                )
            from (
                values
                ('current_tenant_id()'), ('current_user_id()'), ('tenant_with(''tenant:read'')'),
                ('holds(null, null, null)'), ('current_context()'), ('current_permissions()'),
                ('has_permission(''tenant:read'')'), ('require(''tenant:read'')'),
                ('record_denial(''tenant:read'', ''x'')'), ('find_people(null)'), ('get_me()'), ('list_members()'),
                ('list_api_keys()'), ('list_audit_logs()')
            ) as f (call)
        ),
        array['42501 the tenant context does not match its seal'],
        format('%s %s', t.setting, t.description)
    )
from (
    values
    ('app.current_tenant_id', tests.tenant_id('b')::text, 'of another tenant is refused'),
    ('app.current_tenant_id', '', 'taken away is refused'),
    ('app.current_tenant_id', upper(tests.tenant_id('a')::text), 'written otherwise is refused'),
    ('app.current_tenant_id', 'no uuid', 'that is no id is refused'),
    ('app.context', '', 'taken away is refused'),
    ('app.context', 'null', 'of JSON''s null is refused'),
    ('app.context', 'no json', 'that is no JSON is refused'),
    ('app.seal', '', 'taken away is refused'),
    ('app.seal', repeat('0', 64), 'made up is refused')
) as t (setting, value, description);

select * from finish();
rollback;
