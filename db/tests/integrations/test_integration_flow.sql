-- limena.begin_integration_flow(), take_integration_flow(), record_integration_failure(), and what prune() does.
begin;
select plan(18);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{integrations:write}');
insert into limena.sessions (id, user_id, secret_hash, current_tenant_id)
values (tests.id('session', 'second'), tests.user_id('a', 'owner'), sha256('second session'), tests.tenant_id('a'));
insert into limena.session_uses (session_id, user_id) values (
    tests.id('session', 'second'), tests.user_id('a', 'owner')
);

create function pg_temp.beginning(p_name text)
returns text
language sql
as $$
select format(
    'select limena.begin_integration_flow(%L, %L, %L, 1, %L)', 'oidc', tests.id('flow', p_name),
    sha256(convert_to(p_name, 'UTF8')), tests.ciphertext(p_name)
)
$$;

set local role limena_app;
select is(
    tests.outcomes(pg_temp.beginning('x'), '{nobody, viewer, member, admin, owner}'),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1',
    'integrations:write begins'
);
select is(tests.outcomes(pg_temp.beginning('x'), '{writer}'), 'writer 23502', 'a key has no session, and begins none');

select tests.enter_as('a', 'owner');
select limena.begin_integration_flow('oidc', tests.id('flow', 'left'), sha256('left'), 1, tests.ciphertext('left'));
select limena.begin_integration_flow('late', tests.id('flow', 'late'), sha256('late'), 1, tests.ciphertext('late'));
select limena.begin_integration_flow('two', tests.id('flow', 'two'), sha256('two'), 1, tests.ciphertext('two'));
select limena.begin_integration_flow('oidc', tests.id('flow', 'one'), sha256('one'), 1, tests.ciphertext('one'));
set local role postgres;
select results_eq(
    'select f.provider from limena.integration_flows as f order by f.provider',
    $$values ('late'), ('oidc'), ('two')$$,
    'whoever begins anew has one flow a provider'
);
set local role limena_app;

-- Another session of the same person, another person, another tenant, another provider.
select limena.enter_session(sha256('second session'), tests.tenant_id('a'));
select
    is(
        limena.take_integration_flow('oidc', sha256('one')), null, 'another session of the same person does not take it'
    );
select tests.enter_as('a', 'admin');
select is(limena.take_integration_flow('oidc', sha256('one')), null, 'nor does another person');
select tests.enter_as('b', 'owner');
select is(limena.take_integration_flow('oidc', sha256('one')), null, 'nor another tenant');
select tests.enter_with_key('a', 'writer');
select is(limena.take_integration_flow('oidc', sha256('one')), null, 'nor a key');
select tests.enter_as('a', 'owner');
select is(limena.take_integration_flow('google', sha256('one')), null, 'it is for one provider');
select is(limena.take_integration_flow('oidc', sha256('onE')), null, 'and one state');
select is(
    limena.take_integration_flow('oidc', sha256('one')) - 'salt',
    jsonb_build_object(
        'tenant_id', tests.tenant_id('a'), 'flow_id', tests.id('flow', 'one'), 'key_version', 1,
        'ciphertext', encode(tests.ciphertext('one'), 'hex')
    ),
    'who began takes it'
);
select is(limena.take_integration_flow('oidc', sha256('one')), null, 'once');
select
    is(
        tests.outcomes('select limena.take_integration_flow(''two'', sha256(''two''))', '{viewer, member}'),
        'viewer 42501, member 42501',
        'without the permission nobody does'
    );

set local role postgres;
update limena.integration_flows set expires_at = clock_timestamp()
where id = tests.id('flow', 'late');
set local role limena_app;
select is(limena.take_integration_flow('late', sha256('late')), null, 'after ten minutes nobody does');
select limena.record_integration_failure('oidc', 'denied');
select tests.leave();

set local role postgres;
select results_eq(
    $$select l.tenant_id = tests.tenant_id('a'), l.details ->> 'reason', count(*) from limena.audit_logs as l
    where l.action = 'integration.failed' group by 1, 2 order by 1, 2$$,
    $$values (false, 'state', 1::bigint), (true, 'denied', 1), (true, 'state', 7)$$,
    'each attempt is in the log of the tenant that it was made in'
);
set local role limena_maintenance;
select is(limena.prune() > 0, true, 'prune takes what is over');
set local role postgres;
select results_eq(
    'select f.id from limena.integration_flows as f', $$select tests.id('flow', 'two')$$, 'and leaves what is not'
);
delete from limena.sessions
where id = tests.id('session', 'a owner');
select is_empty('select f.id from limena.integration_flows as f', 'a session takes its flows along');
select is(
    (
        select count(*) from limena.audit_logs as l
        where l.details::text ~ 'state_hash|ciphertext'
    ),
    0::bigint,
    'no hash is in details'
);

select * from finish();
rollback;
