-- limena.outbox below the API: no role of the API touches it, and limena_readonly sees neither to whom nor what. Fails
-- without db/policies/platform/outbox.sql.
begin;
select plan(25);

select results_eq(
    $$select tests.policies_of('limena.outbox')$$,
    array[
        'outbox_delete_owner: delete to limena_owner',
        'outbox_insert_owner: insert to limena_owner',
        'outbox_select_owner: select to limena_owner',
        'outbox_select_readonly: select to limena_readonly',
        'outbox_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.outbox'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.outbox')$$,
    array[
        'limena_readonly: select (tenant_id, template, created_at, attempts, due_at, delivered_at, abandoned_at)'
    ],
    'exactly these privileges'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
insert into limena.outbox (tenant_id, id, template, recipient)
values
(tests.tenant_id('a'), tests.id('mail', '1'), 'one', 'owner@a.example'),
(tests.tenant_id('b'), tests.id('mail', '2'), 'two', 'owner@b.example');

set local role limena_app;
select is(
    tests.outcomes('select 1 from limena.outbox', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody sees one, with a session or with a key'
);
select is(
    tests.outcomes(
        $$insert into limena.outbox (tenant_id, id, template, recipient)
        values (tests.tenant_id('a'), tests.id('mail', 'x'), 'x', 'mallory@a.example')$$,
        '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody makes one'
);
select is(
    tests.outcomes('update limena.outbox set due_at = now()', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody changes one'
);
select is(
    tests.outcomes('delete from limena.outbox', '{nobody, viewer, member, admin, owner, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, key 42501',
    'nobody deletes one'
);
select tests.leave();

set local role limena_readonly;
select is(
    tests.outcome(
        'select tenant_id, template, created_at, attempts, due_at, delivered_at, abandoned_at from limena.outbox'
    ),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('select id from limena.outbox'), '42501', 'and no id, of which tokens are made');
select is(tests.outcome('select recipient from limena.outbox'), '42501', 'and no recipient ever');
select is(tests.outcome('select parameters from limena.outbox'), '42501', 'and no parameters ever');
select is(tests.outcome('update limena.outbox set due_at = now()'), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select 1 from limena.outbox'), '42501', 'limena_auth touches no table');
select is(
    tests.outcome(
        $$insert into limena.outbox (tenant_id, id, template, recipient)
        values (tests.tenant_id('a'), tests.id('mail', 'x'), 'x', 'mallory@a.example')$$
    ),
    '42501',
    'it has its procedures'
);

set local role limena_maintenance;
select is(tests.outcome('select 1 from limena.outbox'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select 1 from limena.outbox'), '2', 'limena_owner finds them, for its procedures');
select is(
    tests.outcome(
        $$insert into limena.outbox (tenant_id, id, template, recipient)
        values (tests.tenant_id('a'), tests.id('mail', 'x'), 'x', 'mallory@a.example')$$
    ),
    '1',
    'makes one'
);
select is(tests.outcome('update limena.outbox set due_at = now()'), '2', 'changes them');
select is(tests.outcome('delete from limena.outbox'), '2', 'and deletes them');

-- The shape of the data, whoever writes.
reset role;
select matches(tests.error_of(w.statement), w.pattern, w.pattern)
from (
    values
    ($$update limena.outbox set template = '../x'$$, '^23514 .*constraint outbox_template_check(;|$)'),
    (
        $$update limena.outbox set recipient = E'x@x.example\nBcc: y@y.example'$$,
        '^23514 .*constraint outbox_recipient_check(;|$)'
    ),
    (
        $$update limena.outbox set recipient = 'x@x.example, y@y.example'$$,
        '^23514 .*constraint outbox_recipient_check(;|$)'
    ),
    ($$update limena.outbox set parameters = '[]'$$, '^23514 .*constraint outbox_parameters_check(;|$)'),
    (
        $$update limena.outbox set tenant_id = tests.id('tenant', 'none')$$,
        '^23503 .*constraint outbox_tenant_id_fkey(;|$)'
    ),
    (
        $$insert into limena.outbox (tenant_id, id, template, recipient)
        select o.tenant_id, o.id, o.template, o.recipient from limena.outbox as o$$,
        '^23505 .*constraint outbox_pkey(;|$)'
    )
) as w (statement, pattern);

select * from finish();
rollback;
