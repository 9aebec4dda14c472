-- limena.api_key_uses below the API: each actor, own tenant and another's. Fails without
-- db/policies/api_keys/api_key_uses.sql.
begin;
select plan(16);

select results_eq(
    $$select tests.policies_of('limena.api_key_uses')$$,
    array[
        'api_key_uses_delete_owner: delete to limena_owner',
        'api_key_uses_insert_owner: insert to limena_owner',
        'api_key_uses_select_app: select to limena_app',
        'api_key_uses_select_owner: select to limena_owner',
        'api_key_uses_select_readonly: select to limena_readonly',
        'api_key_uses_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.api_key_uses'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.api_key_uses')$$,
    array[
        'limena_app: select (tenant_id, api_key_id, last_used_at)',
        'limena_readonly: select (tenant_id, api_key_id, last_used_at)'
    ],
    'exactly these privileges'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{api_keys:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{api_keys:write}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{ai:use}');
select tests.make_api_key(p_tenant => 'b');

-- One key of a without its row, to insert.
select tests.make_api_key(p_tenant => 'a', p_name => 'bare');
delete from limena.api_key_uses
where api_key_id = tests.api_key_id('a', 'bare');

set local role limena_app;
select is(
    tests.outcomes(
        'select last_used_at from limena.api_key_uses', '{nobody, viewer, member, admin, owner, reader, writer, other}'
    ),
    'nobody 0, viewer 0, member 0, admin 3, owner 3, reader 3, writer 0, other 0',
    'api_keys:read sees those of one tenant'
);
select is(
    tests.outcomes(
        $$select last_used_at from limena.api_key_uses where tenant_id = tests.tenant_id('b')$$,
        '{nobody, admin, owner, reader}'
    ),
    'nobody 0, admin 0, owner 0, reader 0',
    'another''s are not there'
);
select is(
    tests.outcomes(
        $$insert into limena.api_key_uses (tenant_id, api_key_id)
        values (tests.tenant_id('a'), tests.api_key_id('a', 'bare'))$$,
        '{nobody, viewer, member, admin, owner, reader, writer, other}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, reader 42501, writer 42501, other 42501',
    'nobody makes one: it comes with its key'
);
select is(
    tests.outcomes(
        'update limena.api_key_uses set last_used_at = null', '{nobody, viewer, member, admin, owner, writer}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, writer 42501',
    'nobody says when a key was used'
);
select is(
    tests.outcomes('delete from limena.api_key_uses', '{nobody, viewer, member, admin, owner, writer}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, writer 42501',
    'nobody deletes one'
);

set local role limena_readonly;
select is(
    tests.outcome('select last_used_at from limena.api_key_uses'),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('update limena.api_key_uses set last_used_at = now()'), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select last_used_at from limena.api_key_uses'), '42501', 'limena_auth touches no table');

set local role limena_maintenance;
select is(tests.outcome('select last_used_at from limena.api_key_uses'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(
    tests.outcome('select last_used_at from limena.api_key_uses'),
    '4',
    'limena_owner finds them, for enter_api_key'
);
select is(tests.outcome('update limena.api_key_uses set last_used_at = now()'), '4', 'writes them, for enter_api_key');
select is(
    tests.outcome(
        $$insert into limena.api_key_uses (tenant_id, api_key_id)
        values (tests.tenant_id('a'), tests.api_key_id('a', 'bare'))$$
    ),
    '1', 'makes them, for admit_api_key'
);
select is(tests.outcome('delete from limena.api_key_uses'), '4', 'and deletes them, for erase_tenant');

select * from finish();
rollback;
