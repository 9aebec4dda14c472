-- limena.refresh_tokens below the API: no role of the API touches it. Fails without
-- db/policies/identity/refresh_tokens.sql.
begin;
select plan(18);

select results_eq(
    $$select tests.policies_of('limena.refresh_tokens')$$,
    array[
        'refresh_tokens_insert_owner: insert to limena_owner',
        'refresh_tokens_select_owner: select to limena_owner',
        'refresh_tokens_select_readonly: select to limena_readonly',
        'refresh_tokens_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.refresh_tokens'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.refresh_tokens')$$,
    array['limena_readonly: select (id, session_id, user_id, issued_at, expires_at, spent_at)'],
    'exactly these privileges: token_hash for nobody'
);

select tests.make_tenants();
insert into limena.refresh_tokens (session_id, user_id, token_hash)
select
    s.id,
    s.user_id,
    sha256(uuid_send(s.id))
from limena.sessions as s;

set local role limena_app;
select is(
    tests.outcomes('select id from limena.refresh_tokens'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody sees a refresh token'
);
select is(
    tests.outcomes(
        $$insert into limena.refresh_tokens (session_id, user_id, token_hash)
        values (tests.id('session', 'b owner'), tests.user_id('b', 'owner'), sha256('x'))$$
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody makes one'
);
select is(
    tests.outcomes('update limena.refresh_tokens set spent_at = null'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody makes one good again'
);
select is(
    tests.outcomes('delete from limena.refresh_tokens'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody deletes one'
);

set local role limena_readonly;
select is(
    tests.outcome('select id, spent_at from limena.refresh_tokens'),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('select token_hash from limena.refresh_tokens'), '42501', 'and no hash ever');

set local role limena_auth;
select is(tests.outcome('select id from limena.refresh_tokens'), '42501', 'limena_auth touches no table');

set local role limena_maintenance;
select is(tests.outcome('select id from limena.refresh_tokens'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select id from limena.refresh_tokens'), '8', 'limena_owner finds them, for refresh_session');
select is(
    tests.outcome(
        $$insert into limena.refresh_tokens (session_id, user_id, token_hash)
        values (tests.id('session', 'b owner'), tests.user_id('b', 'owner'), sha256('x'))$$
    ),
    '1', 'makes one, for log_in'
);
select is(tests.outcome('update limena.refresh_tokens set spent_at = now()'), '8', 'changes them, for refresh_session');
select is(tests.outcome('delete from limena.refresh_tokens'), '0', 'and deletes none: they go with their session');

-- The shape of the data, whoever writes.
reset role;
select throws_ok(
    $$insert into limena.refresh_tokens (session_id, user_id, token_hash)
    values (tests.id('session', 'b owner'), tests.user_id('a', 'owner'), sha256('x'))$$,
    '23503', null, 'a refresh token belongs to its session''s person'
);

select throws_ok(
    $$insert into limena.refresh_tokens (session_id, user_id, token_hash)
    select r.session_id, r.user_id, r.token_hash from limena.refresh_tokens as r limit 1$$,
    '23505', null, 'it is one token''s'
);
set local role limena_owner;
delete from limena.sessions
where id = tests.id('session', 'a viewer');
reset role;
select is(
    array[
        (
            select count(*) from limena.refresh_tokens as r
            where r.session_id = tests.id('session', 'a viewer')
        ),
        (
            select count(*) from limena.session_uses as u
            where u.session_id = tests.id('session', 'a viewer')
        )
    ],
    '{0, 0}',
    'with a session that limena_owner deletes its tokens and its use go too, past forced row-level security'
);

select * from finish();
rollback;
