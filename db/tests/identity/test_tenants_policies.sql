-- limena.tenants below the API: each actor, own tenant and another's. Fails without db/policies/identity/tenants.sql.
begin;
select plan(21);

select results_eq(
    $$select tests.policies_of('limena.tenants')$$,
    array[
        'tenants_insert_owner: insert to limena_owner',
        'tenants_select_app: select to limena_app',
        'tenants_select_owner: select to limena_owner',
        'tenants_select_readonly: select to limena_readonly',
        'tenants_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.tenants'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.tenants')$$,
    array[
        'limena_app: select (id, name, state, created_at, audit_retention_days, deletion_due_at)',
        'limena_readonly: select (id, name, state, created_at, audit_retention_days, deletion_due_at)'
    ],
    'exactly these privileges'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{tenant:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{ai:use}');

set local role limena_app;
select is(
    tests.outcomes('select id from limena.tenants', '{nobody, viewer, member, admin, owner, reader, other}'),
    'nobody 0, viewer 1, member 1, admin 1, owner 1, reader 1, other 1',
    'whoever is inside sees one tenant'
);
select is(
    tests.outcomes($$select id from limena.tenants where id = tests.tenant_id('a')$$),
    'nobody 0, viewer 1, member 1, admin 1, owner 1',
    'their own'
);
select is(
    tests.outcomes($$select id from limena.tenants where id = tests.tenant_id('b')$$),
    'nobody 0, viewer 0, member 0, admin 0, owner 0',
    'another is not there'
);
select is(
    tests.outcomes($$select id from limena.tenants where name = 'platform'$$),
    'nobody 0, viewer 0, member 0, admin 0, owner 0',
    'nor is the reserved one'
);
select is(
    tests.outcomes($$insert into limena.tenants (name) values ('mine')$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody founds a tenant by INSERT'
);
select is(
    tests.outcomes(
        $$update limena.tenants set name = 'mine'$$, '{nobody, viewer, member, admin, owner, reader, other}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, reader 42501, other 42501',
    'nobody renames one by UPDATE'
);
select is(
    tests.outcomes('select id from limena.tenants for key share'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nor locks it, so that a freeze would wait'
);
select is(
    tests.outcomes($$update limena.tenants set state = 'active'$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody changes what state it is in'
);
select is(
    tests.outcomes($$delete from limena.tenants where id = tests.tenant_id('b')$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody deletes one'
);
select is(
    tests.outcomes('truncate limena.tenants cascade'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nor all of them'
);

set local role limena_readonly;
select is(tests.outcome('select id from limena.tenants'), '0', 'limena_readonly sees none before access is declared');
select is(tests.outcome($$update limena.tenants set name = 'mine'$$), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select id from limena.tenants'), '42501', 'limena_auth touches no table');

set local role limena_maintenance;
select is(tests.outcome('select id from limena.tenants'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select id from limena.tenants'), '3', 'limena_owner finds them, for enter_… and log_in');
select is(tests.outcome($$insert into limena.tenants (name) values ('new')$$), '1', 'makes one, for register_user');
select is(tests.outcome($$update limena.tenants set name = 'mine'$$), '3', 'changes them, for the life cycle');
select is(tests.outcome('delete from limena.tenants'), '0', 'and deletes none');

select * from finish();
rollback;
