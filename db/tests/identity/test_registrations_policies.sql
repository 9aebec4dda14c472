-- limena.registrations below the API: no role of the API touches it. Fails without
-- db/policies/identity/registrations.sql.
begin;
select plan(27);

select results_eq(
    $$select tests.policies_of('limena.registrations')$$,
    array[
        'registrations_delete_owner: delete to limena_owner',
        'registrations_insert_owner: insert to limena_owner',
        'registrations_select_owner: select to limena_owner',
        'registrations_select_readonly: select to limena_readonly',
        'registrations_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.registrations'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.registrations')$$,
    array['limena_readonly: select (id, email, display_name, tenant_name, created_at, expires_at, used_at)'],
    'exactly these privileges'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
insert into limena.registrations (email, display_name, tenant_name, password_hash, token_hash)
values
('one@x.example', 'One', 'Tenant one', '$2b$04$' || repeat('.', 53), sha256('1')),
('two@x.example', 'Two', 'Tenant two', '$2b$04$' || repeat('.', 53), sha256('2'));

set local role limena_app;
select is(
    tests.outcomes('select 1 from limena.registrations', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody sees one, with a session or with a key'
);
select is(
    tests.outcomes(
        $$insert into limena.registrations (email, display_name, tenant_name, password_hash, token_hash)
        values ('x@x.example', 'x', 'x', '$2b$04$' || repeat('.', 53), sha256('x'))$$,
        '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody makes one'
);
select is(
    tests.outcomes('update limena.registrations set used_at = null', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody changes one'
);
select is(
    tests.outcomes('delete from limena.registrations', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody deletes one'
);
select tests.leave();

set local role limena_readonly;
select is(
    tests.outcome(
        'select id, email, display_name, tenant_name, created_at, expires_at, used_at from limena.registrations'
    ),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('select password_hash from limena.registrations'), '42501', 'and no password_hash ever');
select is(tests.outcome('select token_hash from limena.registrations'), '42501', 'and no token_hash ever');
select is(tests.outcome('update limena.registrations set used_at = null'), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select 1 from limena.registrations'), '42501', 'limena_auth touches no table');
select is(
    tests.outcome(
        $$insert into limena.registrations (email, display_name, tenant_name, password_hash, token_hash)
        values ('x@x.example', 'x', 'x', '$2b$04$' || repeat('.', 53), sha256('x'))$$
    ),
    '42501',
    'it has its procedures'
);

set local role limena_maintenance;
select is(tests.outcome('select 1 from limena.registrations'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select 1 from limena.registrations'), '2', 'limena_owner finds them, for its procedures');
select is(
    tests.outcome(
        $$insert into limena.registrations (email, display_name, tenant_name, password_hash, token_hash)
        values ('x@x.example', 'x', 'x', '$2b$04$' || repeat('.', 53), sha256('x'))$$
    ),
    '1',
    'makes one'
);
select is(tests.outcome('update limena.registrations set used_at = null'), '2', 'changes them');
select is(tests.outcome('delete from limena.registrations'), '2', 'and deletes them');

-- The shape of the data, whoever writes.
reset role;
select matches(tests.error_of(w.statement), w.pattern, w.pattern)
from (
    values
    ($$update limena.registrations set email = 'ONE@x.example'$$, '^23514 .*constraint registrations_email_check(;|$)'),
    ($$update limena.registrations set email = 'one'$$, '^23514 .*constraint registrations_email_check(;|$)'),
    (
        $$update limena.registrations set email = E'one@x.example\n'$$,
        '^23514 .*constraint registrations_email_check(;|$)'
    ),
    (
        $$update limena.registrations set display_name = ' One'$$,
        '^23514 .*constraint registrations_display_name_check(;|$)'
    ),
    ($$update limena.registrations set tenant_name = ''$$, '^23514 .*constraint registrations_tenant_name_check(;|$)'),
    (
        $$update limena.registrations set tenant_name = E'a\tb'$$,
        '^23514 .*constraint registrations_tenant_name_check(;|$)'
    ),
    (
        $$update limena.registrations set password_hash = 'a plain password'$$,
        '^23514 .*constraint registrations_password_hash_check(;|$)'
    ),
    ($$update limena.registrations set token_hash = 'x'$$, '^23514 .*constraint registrations_token_hash_check(;|$)'),
    (
        $$update limena.registrations set token_hash = sha256('1')$$,
        '^23505 .*constraint registrations_token_hash_key(;|$)'
    )
) as w (statement, pattern);

select * from finish();
rollback;
