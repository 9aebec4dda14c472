-- limena.memberships below the API: each actor, own tenant and another's. Fails without
-- db/policies/identity/memberships.sql.
begin;
select plan(21);

select results_eq(
    $$select tests.policies_of('limena.memberships')$$,
    array[
        'memberships_delete_owner: delete to limena_owner',
        'memberships_insert_owner: insert to limena_owner',
        'memberships_select_app: select to limena_app',
        'memberships_select_owner: select to limena_owner',
        'memberships_select_readonly: select to limena_readonly',
        'memberships_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.memberships'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.memberships')$$,
    array[
        'limena_app: select (tenant_id, user_id, role, created_at)',
        'limena_readonly: select (tenant_id, user_id, role, created_at)'
    ],
    'exactly these privileges'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{members:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{ai:use}');

set local role limena_app;
select is(
    tests.outcomes('select user_id from limena.memberships', '{nobody, viewer, member, admin, owner, reader, other}'),
    'nobody 0, viewer 4, member 4, admin 4, owner 4, reader 4, other 0',
    'members:read sees the members of one tenant'
);
select is(
    tests.outcomes($$select user_id from limena.memberships where tenant_id = tests.tenant_id('a')$$),
    'nobody 0, viewer 4, member 4, admin 4, owner 4',
    'their own'
);
select is(
    tests.outcomes($$select user_id from limena.memberships where tenant_id = tests.tenant_id('b')$$),
    'nobody 0, viewer 0, member 0, admin 0, owner 0',
    'another''s are not there'
);
select is(
    tests.outcomes(
        $$insert into limena.memberships (tenant_id, user_id, role)
        values (tests.tenant_id('a'), tests.user_id('b', 'owner'), 'viewer')$$
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody adds a member by INSERT'
);
select is(
    tests.outcomes(
        $$insert into limena.memberships (tenant_id, user_id, role)
        values (tests.tenant_id('b'), limena.current_user_id(), 'owner')$$
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nor joins another tenant'
);
select is(
    tests.outcomes($$update limena.memberships set role = 'owner' where user_id = limena.current_user_id()$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody raises their own role'
);
select is(
    tests.outcomes($$update limena.memberships set role = 'viewer' where tenant_id = tests.tenant_id('b')$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nor lowers another tenant''s'
);
select is(
    tests.outcomes($$delete from limena.memberships where user_id = tests.user_id('a', 'viewer')$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody removes a member by DELETE'
);
select is(
    tests.outcomes($$delete from limena.memberships where tenant_id = tests.tenant_id('b')$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nor another tenant''s'
);

set local role limena_readonly;
select is(
    tests.outcome('select role from limena.memberships'),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('delete from limena.memberships'), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select user_id from limena.memberships'), '42501', 'limena_auth touches no table');

set local role limena_maintenance;
select is(tests.outcome('select user_id from limena.memberships'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(
    tests.outcome('select user_id from limena.memberships'),
    '8',
    'limena_owner finds them, for enter_… and log_in'
);
select is(
    tests.outcome(
        $$insert into limena.memberships (tenant_id, user_id, role)
        values (tests.tenant_id('a'), tests.user_id('b', 'owner'), 'viewer')$$
    ),
    '1', 'makes one, for register_user and accept_invitation'
);
select is(tests.outcome($$update limena.memberships set role = 'owner'$$), '8', 'changes them, for change_member_role');
select is(tests.outcome('delete from limena.memberships'), '8', 'and deletes them, for remove_member');

-- The shape of the data, whoever writes.
reset role;
select throws_ok(
    $$insert into limena.memberships (tenant_id, user_id, role)
    values ('00000000-0000-4000-8000-000000000000', tests.user_id('a', 'owner'), 'owner')$$,
    '23514', null, 'nobody, not even a superuser, is made a member of the reserved tenant'
);

select * from finish();
rollback;
