-- limena.password_resets below the API: no role of the API touches it. Fails without
-- db/policies/identity/password_resets.sql.
begin;
select plan(21);

select results_eq(
    $$select tests.policies_of('limena.password_resets')$$,
    array[
        'password_resets_delete_owner: delete to limena_owner',
        'password_resets_insert_owner: insert to limena_owner',
        'password_resets_select_owner: select to limena_owner',
        'password_resets_select_readonly: select to limena_readonly',
        'password_resets_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.password_resets'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.password_resets')$$,
    array['limena_readonly: select (id, user_id, created_at, expires_at, used_at)'],
    'exactly these privileges'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
insert into limena.password_resets (user_id, token_hash)
select
    u.id,
    sha256(uuid_send(u.id))
from limena.users as u;

set local role limena_app;
select is(
    tests.outcomes('select 1 from limena.password_resets', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody sees one, with a session or with a key'
);
select is(
    tests.outcomes(
        $$insert into limena.password_resets (user_id, token_hash)
        values (tests.user_id('a', 'owner'), sha256('x'))$$,
        '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody makes one'
);
select is(
    tests.outcomes('update limena.password_resets set used_at = null', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody changes one'
);
select is(
    tests.outcomes('delete from limena.password_resets', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody deletes one'
);
select tests.leave();

set local role limena_readonly;
select is(
    tests.outcome('select id, user_id, created_at, expires_at, used_at from limena.password_resets'),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('select token_hash from limena.password_resets'), '42501', 'and no token_hash ever');
select is(tests.outcome('update limena.password_resets set used_at = null'), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select 1 from limena.password_resets'), '42501', 'limena_auth touches no table');
select is(
    tests.outcome(
        $$insert into limena.password_resets (user_id, token_hash)
        values (tests.user_id('a', 'owner'), sha256('x'))$$
    ),
    '42501',
    'it has its procedures'
);

set local role limena_maintenance;
select is(tests.outcome('select 1 from limena.password_resets'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select 1 from limena.password_resets'), '8', 'limena_owner finds them, for its procedures');
select is(
    tests.outcome(
        $$insert into limena.password_resets (user_id, token_hash)
        values (tests.user_id('a', 'owner'), sha256('x'))$$
    ),
    '1',
    'makes one'
);
select is(tests.outcome('update limena.password_resets set used_at = null'), '8', 'changes them');
select is(tests.outcome('delete from limena.password_resets'), '8', 'and deletes them');

-- The shape of the data, whoever writes.
reset role;
select throws_ok(
    $$insert into limena.password_resets (user_id, token_hash) values (tests.id('user', 'none'), sha256('x'))$$,
    '23503', null, 'a reset is somebody''s'
);
select throws_ok(
    $$insert into limena.password_resets (user_id, token_hash)
    select r.user_id, r.token_hash from limena.password_resets as r limit 1$$,
    '23505', null, 'a token is good for one'
);
select throws_ok(
    $$insert into limena.password_resets (user_id, token_hash) values (tests.user_id('a', 'owner'), 'plain token')$$,
    '23514', null, 'what is no SHA-256 is no token''s hash'
);
delete from limena.users
where id = tests.user_id('a', 'viewer');
select is_empty(
    $$select r.id from limena.password_resets as r where r.user_id = tests.user_id('a', 'viewer')$$,
    'it goes with its person'
);

select * from finish();
rollback;
