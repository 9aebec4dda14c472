-- limena.integration_flows below the API: nobody but the procedures. Fails without
-- db/policies/integrations/integration_flows.sql.
begin;
select plan(14);

select results_eq(
    $$select tests.policies_of('limena.integration_flows')$$,
    array[
        'integration_flows_delete_owner: delete to limena_owner',
        'integration_flows_insert_owner: insert to limena_owner',
        'integration_flows_select_owner: select to limena_owner',
        'integration_flows_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.integration_flows'), 'forced', 'row-level security binds the owner too');
select is_empty($$select tests.privileges_of('limena.integration_flows')$$, 'and no privilege');

select tests.make_tenants();
insert into limena.integration_flows (
    tenant_id, id, provider, session_id, user_id, state_hash, key_version, ciphertext
)
values (
    tests.tenant_id('a'), tests.id('flow', 'a'), 'oidc', tests.id('session', 'a owner'), tests.user_id('a', 'owner'),
    sha256('state'), 1, tests.ciphertext('verifier')
);
select is(
    (
        select l.changes -> 'state_hash' from limena.audit_logs as l
        where l.action = 'integration_flow.created'
    ),
    '[null, "[redacted]"]'::jsonb,
    'it is recorded, without its state'
);

set local role limena_app;
select
    is(
        tests.outcomes(s.statement, '{nobody, viewer, admin, owner}'),
        'nobody 42501, viewer 42501, admin 42501, owner 42501',
        s.statement
    )
from (
    values
    ('select id from limena.integration_flows'),
    ('select ciphertext from limena.integration_flows'),
    ('update limena.integration_flows set provider = provider'),
    ('delete from limena.integration_flows'),
    ('insert into limena.integration_flows (tenant_id, id) values (tests.tenant_id(''a''), gen_random_uuid())')
) as s (statement);
set local role limena_readonly;
select is(tests.outcome('select id from limena.integration_flows'), '42501', 'limena_readonly does not see them');
set local role limena_auth;
select is(tests.outcome('select id from limena.integration_flows'), '42501', 'nor does limena_auth');
set local role limena_maintenance;
select is(tests.outcome('select id from limena.integration_flows'), '42501', 'nor does limena_maintenance');
set local role limena_owner;
select is(
    tests.outcome('select ciphertext from limena.integration_flows'), '1', 'limena_owner does, for its procedures'
);
select is(tests.outcome('delete from limena.integration_flows'), '1', 'and takes them');

select * from finish();
rollback;
