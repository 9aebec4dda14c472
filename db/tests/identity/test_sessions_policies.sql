-- limena.sessions below the API: a person's own, through a session, to be read. Fails without
-- db/policies/identity/sessions.sql.
begin;
select plan(37);

select results_eq(
    $$select tests.policies_of('limena.sessions')$$,
    array[
        'sessions_delete_owner: delete to limena_owner',
        'sessions_insert_owner: insert to limena_owner',
        'sessions_select_app: select to limena_app',
        'sessions_select_owner: select to limena_owner',
        'sessions_select_readonly: select to limena_readonly',
        'sessions_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.sessions'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.sessions')$$,
    array[
        'limena_app: select (id, user_id, current_tenant_id, created_at, expires_at, ended_at, ip, user_agent)',
        'limena_readonly: select (id, user_id, current_tenant_id, created_at, expires_at, ended_at, ip, user_agent)'
    ],
    'exactly these privileges: secret_hash for nobody'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'key');
-- The owner of a is also in b, has a second session there, and one that has ended.
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer');
insert into limena.sessions (id, user_id, secret_hash, current_tenant_id, ended_at)
values
(tests.id('session', 'second'), tests.user_id('a', 'owner'), sha256('second'), tests.tenant_id('b'), null),
(tests.id('session', 'ended'), tests.user_id('a', 'owner'), sha256('ended'), tests.tenant_id('a'), now());

set local role limena_app;
select is(
    tests.outcomes('select id from limena.sessions', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 0, viewer 1, member 1, admin 1, owner 3, key 0',
    'each sees their own, a key none of its creator''s'
);
select is(
    tests.outcomes(
        $$select id from limena.sessions where user_id = tests.user_id('a', 'member')$$,
        '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 0, viewer 0, member 1, admin 0, owner 0, key 0',
    'an owner sees no session of their tenant''s members'
);
select is(
    tests.outcomes(
        $$select id from limena.sessions where user_id = tests.user_id('b', 'owner')$$,
        '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 0, viewer 0, member 0, admin 0, owner 0, key 0',
    'nor of another tenant''s'
);
select is(
    tests.outcomes('select secret_hash from limena.sessions', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'no hash, of one''s own neither'
);
select is(
    tests.outcomes(
        $$insert into limena.sessions (user_id, secret_hash) values (limena.current_user_id(), sha256('x'))$$,
        '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody makes one, for themselves neither'
);
select is(tests.outcomes(w.statement, '{nobody, viewer, owner, key}'), w.expected, w.statement)
from (
    values
    ('select id from limena.sessions for key share'),
    ('update limena.sessions set ended_at = now()'),
    ('update limena.sessions set current_tenant_id = tests.tenant_id(''b'')'),
    ('update limena.sessions set expires_at = expires_at + interval ''1 year'''),
    ('update limena.sessions set user_id = limena.current_user_id()'),
    ('update limena.sessions set id = gen_random_uuid()'),
    ('update limena.sessions set secret_hash = sha256(''x'')'),
    ('update limena.sessions set created_at = now()'),
    ('update limena.sessions set ip = null'),
    ('update limena.sessions set user_agent = null'),
    ('update limena.sessions set ended_at = now() returning secret_hash'),
    ('update limena.sessions set ended_at = now() where secret_hash = sha256(''x'')'),
    ('delete from limena.sessions'),
    ('truncate limena.sessions')
) as s (statement)
cross join lateral (
    values (s.statement, 'nobody 42501, viewer 42501, owner 42501, key 42501')
) as w (statement, expected);

-- Two contexts in one statement: rows are found in one, and written or read in the other. With a condition that asked
-- twice, who acts and whether a session does would be answered apart.
select
    is(
        coalesce(
            tests.error_of(
                format(
                    'do $do$ begin perform tests.enter_with_key(%L); if exists (%s) then raise exception %L; end if; end $do$',  -- noqa: LT05
                    'a', s.statement, 'stolen'
                )
            ),
            'nothing'
        ),
        'nothing',
        'a key, and then a session of the viewer: ' || s.statement
    )
from (
    values
    (
        'select from limena.sessions as s where s.user_id = tests.user_id(''a'', ''owner'') and tests.enter_as(''a'', ''viewer'')'  -- noqa: LT05
    ),
    (
        'select from (select tests.enter_as(''a'', ''viewer'') as e offset 0) as e, limena.sessions as s '
        'where e.e and s.user_id = tests.user_id(''a'', ''owner'')'
    ),
    (
        'with e as materialized (select tests.enter_as(''a'', ''viewer'') as e), '
        'k as materialized (select tests.enter_with_key(''a'') as e from e where e) '
        'select from k, limena.sessions as s where k.e'
    )
) as s (statement);
select tests.leave();
select
    set_config(
        'app.context',
        format('{"session_id": "%s", "user_id": "%s"}', tests.id('session', 'b owner'), tests.user_id('b', 'owner')),
        true
    );
select is(tests.outcome('select id from limena.sessions'), '42501', 'a context without its seal is refused');
select is(tests.outcome('update limena.sessions set ended_at = now()'), '42501', 'to who would write, too');
select tests.leave();

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

set local role limena_maintenance;
select is(tests.outcome('select id from limena.sessions'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select id from limena.sessions'), '10', 'limena_owner finds them, for enter_session');
select is(
    tests.outcome(
        $$insert into limena.sessions (user_id, secret_hash) values (tests.user_id('b', 'owner'), sha256('x'))$$
    ),
    '1',
    'makes one, for log_in'
);
select is(tests.outcome('update limena.sessions set ended_at = now()'), '10', 'ends them, for change_password');
select is(tests.outcome('delete from limena.sessions'), '10', 'and deletes them, for prune');

-- The shape of the data, whoever writes.
reset role;
select throws_ok(
    $$update limena.sessions set current_tenant_id = tests.tenant_id('b') where user_id = tests.user_id('a', 'admin')$$,
    '23503', null, 'a session stands in a tenant of its person alone'
);

select * from finish();
rollback;
