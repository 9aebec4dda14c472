-- limena.audit_seals below the API: each actor, own tenant and another's. Fails without
-- db/policies/audit/audit_seals.sql.
begin;
select plan(13);

select results_eq(
    $$select tests.policies_of('limena.audit_seals')$$,
    array[
        'audit_seals_insert_owner: insert to limena_owner',
        'audit_seals_select_app: select to limena_app',
        'audit_seals_select_owner: select to limena_owner',
        'audit_seals_select_readonly: select to limena_readonly',
        'audit_seals_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.audit_seals'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.audit_seals')$$,
    array[
        'limena_app: select (tenant_id, number, row_count, first_at, last_at, sealed_at, removed_at)',
        'limena_readonly: select (tenant_id, number, row_count, first_at, last_at, sealed_at, removed_at)'
    ],
    'exactly these privileges: no digest, and no place of the sequence'
);

select tests.make_tenants();
insert into limena.audit_seals (
    tenant_id, number, from_seq, to_seq, row_count, first_at, last_at, seqs, row_digests, rows_digest, digest
)
select
    t.id,
    1,
    0,
    10,
    1,
    now(),
    now(),
    '{1}',
    sha256('x'),
    sha256('x'),
    sha256('x')
from unnest(array[tests.tenant_id('a'), tests.tenant_id('b')]) as t (id);

set local role limena_app;
select is(
    tests.outcomes('select number from limena.audit_seals'),
    'nobody 0, viewer 0, member 0, admin 1, owner 1',
    'audit:read sees those of one tenant'
);
select is(
    tests.outcomes('select digest from limena.audit_seals', '{owner}'), 'owner 42501', 'but no digest'
);
select is(
    tests.outcomes('update limena.audit_seals set row_count = 2', '{nobody, owner}'),
    'nobody 42501, owner 42501',
    'nobody alters one'
);
select is(
    tests.outcomes('delete from limena.audit_seals', '{nobody, owner}'), 'nobody 42501, owner 42501', 'or deletes one'
);
set local role limena_readonly;
select is(tests.outcome('select number from limena.audit_seals'), '0', 'limena_readonly sees none without an access');
set local role limena_auth;
select is(tests.outcome('select number from limena.audit_seals'), '42501', 'limena_auth touches no table');
set local role limena_maintenance;
select is(tests.outcome('select number from limena.audit_seals'), '42501', 'nor does limena_maintenance');
set local role limena_owner;
select is(tests.outcome('select number from limena.audit_seals'), '2', 'limena_owner reads them, to verify');
select is(tests.outcome('delete from limena.audit_seals'), '0', 'and deletes none');
select is(tests.outcome('truncate limena.audit_seals'), '0', '(TRUNCATE asks no policy: a table''s owner may)');

select * from finish();
rollback;
