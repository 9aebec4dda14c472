-- limena.sessions below the API: no role of the API touches it. Fails without db/policies/identity/sessions.sql.
begin;
select plan(18);

select results_eq(
    $$select tests.policies_of('limena.sessions')$$,
    array['sessions_insert_owner: insert to limena_owner', 'sessions_select_owner: select to limena_owner'],
    'exactly these policies'
);
select is(tests.row_security_of('limena.sessions'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.sessions')$$,
    array['limena_readonly: select (id, user_id, current_tenant_id, created_at, expires_at, ended_at, ip, user_agent)'],
    'exactly these privileges: secret_hash for nobody'
);

select tests.make_tenants();

set local role limena_app;
select is(
    tests.outcomes('select id from limena.sessions'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody sees a session'
);
select is(
    tests.outcomes(
        $$insert into limena.sessions (user_id, secret_hash) values (tests.user_id('b', 'owner'), sha256('x'))$$
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody makes one, least of all for someone else'
);
select is(
    tests.outcomes('update limena.sessions set expires_at = expires_at + interval ''1 year'''),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody prolongs one'
);
select is(
    tests.outcomes($$delete from limena.sessions where user_id = tests.user_id('b', 'owner')$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody ends another''s'
);

set local role limena_readonly;
select is(
    tests.outcome('select id, ip, user_agent from limena.sessions'),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('select secret_hash from limena.sessions'), '42501', 'and no hash ever');
select is(tests.outcome('update limena.sessions set ended_at = now()'), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select id from limena.sessions'), '42501', 'limena_auth touches no table');
select is(
    tests.outcome(
        $$insert into limena.sessions (user_id, secret_hash) values (tests.user_id('b', 'owner'), sha256('x'))$$
    ),
    '42501',
    'it makes sessions by log_in alone'
);

set local role limena_maintenance;
select is(tests.outcome('select id from limena.sessions'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select id from limena.sessions'), '8', 'limena_owner finds them, for enter_session');
select is(
    tests.outcome(
        $$insert into limena.sessions (user_id, secret_hash) values (tests.user_id('b', 'owner'), sha256('x'))$$
    ),
    '1',
    'makes one, for log_in'
);
select is(tests.outcome('update limena.sessions set ended_at = null'), '0', 'changes none: no policy says so');
select is(tests.outcome('delete from limena.sessions'), '0', 'and deletes none');

-- The shape of the data, whoever writes.
reset role;
select throws_ok(
    $$update limena.sessions set current_tenant_id = tests.tenant_id('b') where user_id = tests.user_id('a', 'owner')$$,
    '23503', null, 'a session stands in a tenant of its person alone'
);

select * from finish();
rollback;
