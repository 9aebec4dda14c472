-- limena.users below the API: each actor, own tenant and another's. Fails without db/policies/identity/users.sql.
begin;
select plan(22);

select results_eq(
    $$select tests.policies_of('limena.users')$$,
    array[
        'users_insert_owner: insert to limena_owner',
        'users_select_owner: select to limena_owner',
        'users_select_readonly: select to limena_readonly',
        'users_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.users'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.users')$$,
    array['limena_readonly: select (id, email, display_name, is_platform_admin, created_at)'],
    'exactly these privileges: nothing for limena_app, password_hash for nobody'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{members:read}');

set local role limena_app;
select is(
    tests.outcomes('select id from limena.users', '{nobody, viewer, member, admin, owner, reader}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, reader 42501',
    'limena_app has no right on the table: find_people() tells whom one may know'
);
select is(
    tests.outcomes($$select from limena.users where email = 'owner@b.example'$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'and cannot put a condition on it'
);
select is(
    tests.outcomes('select password_hash from limena.users'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody reads a password''s hash'
);
select is(
    tests.outcomes($$select id from limena.users where password_hash like '$2b$%'$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nor asks for one'
);
select is(
    tests.outcomes('select is_platform_admin from limena.users'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nor who is a platform admin'
);
select is(
    tests.outcomes(
        $$insert into limena.users (email, display_name, password_hash)
        values ('x@x.example', 'x', '$2b$04$' || repeat('.', 53))$$
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody makes a user by INSERT'
);
select is(
    tests.outcomes('update limena.users set is_platform_admin = true where id = limena.current_user_id()'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody promotes themselves'
);
select is(
    tests.outcomes($$update limena.users set display_name = 'x' where id = tests.user_id('b', 'owner')$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nor renames another tenant''s people'
);
select is(
    tests.outcomes('delete from limena.users'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody deletes a user'
);

set local role limena_readonly;
select is(
    tests.outcome('select id, email, display_name, is_platform_admin, created_at from limena.users'), '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('select password_hash from limena.users'), '42501', 'and no hash ever');
select is(
    tests.outcome('select password_changed_at from limena.users'), '42501', 'nor how old a password is: nobody needs it'
);

set local role limena_auth;
select is(tests.outcome('select id from limena.users'), '42501', 'limena_auth touches no table');

set local role limena_maintenance;
select is(tests.outcome('select id from limena.users'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select id from limena.users'), '8', 'limena_owner finds them, for enter_session and log-in');
select is(
    tests.outcome(
        $$insert into limena.users (email, display_name, password_hash)
        values ('x@x.example', 'x', '$2b$04$' || repeat('.', 53))$$
    ),
    '1', 'makes one, for register_user'
);
select is(tests.outcome('update limena.users set is_platform_admin = true'), '8', 'changes them, for promote_user');
select is(
    tests.outcome(
        $$update limena.users set password_hash = '$2b$04$' || repeat('/', 53), password_changed_at = now()$$
    ),
    '8', 'and for change_password and reset_password'
);
select is(tests.outcome('delete from limena.users'), '0', 'and deletes none: no policy says so');

select * from finish();
rollback;
