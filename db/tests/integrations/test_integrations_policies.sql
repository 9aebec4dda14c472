-- limena.integrations below the API: each actor, own tenant and another's. Fails without
-- db/policies/integrations/integrations.sql.
begin;
select plan(30);

select results_eq(
    $$select tests.policies_of('limena.integrations')$$,
    array[
        'integrations_delete_owner: delete to limena_owner',
        'integrations_insert_owner: insert to limena_owner',
        'integrations_select_app: select to limena_app',
        'integrations_select_owner: select to limena_owner', 'integrations_select_readonly: select to limena_readonly',
        'integrations_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.integrations'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.integrations')$$,
    array[
        'limena_app: select (tenant_id, id, provider, label, base_url, scopes, created_at, changed_by, connected_at,'
        ' disconnected_at, failed_at, revocation, refresh_leased_until)',
        'limena_readonly: select (tenant_id, id, provider, label, base_url, scopes, created_at, changed_by,'
        ' connected_at, disconnected_at, failed_at, revocation, refresh_leased_until)'
    ],
    'exactly these privileges'
);

select tests.make_tenants();
select tests.make_integration(p_tenant => 'a');
select tests.make_integration(p_tenant => 'b');
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{integrations:read}');
select tests.make_api_key(
    p_tenant => 'a', p_name => 'writer', p_scopes => '{integrations:write}', p_creator => 'admin'
);
select tests.make_api_key(p_tenant => 'a', p_name => 'user', p_scopes => '{integrations:use}');

create function pg_temp.adding(p_tenant text, p_by uuid)
returns text
language sql
as $$
select format(
    'insert into limena.integrations (tenant_id, id, provider, changed_by) values (%L, gen_random_uuid(), %L, %L)',
    tests.tenant_id(p_tenant), 'openai', p_by
)
$$;

set local role limena_app;
select is(
    tests.outcomes(
        'select label from limena.integrations', '{nobody, viewer, member, admin, owner, reader, writer, user}'
    ),
    'nobody 0, viewer 1, member 1, admin 1, owner 1, reader 1, writer 1, user 0',
    'integrations:read or :write sees those of one tenant'
);
select is(
    tests.outcomes(
        $$select label from limena.integrations where tenant_id = tests.tenant_id('b')$$,
        '{nobody, viewer, admin, owner, reader, writer}'
    ),
    'nobody 0, viewer 0, admin 0, owner 0, reader 0, writer 0',
    'another''s are not there'
);
select is(
    tests.outcomes(pg_temp.adding('a', tests.user_id('a', 'admin')), '{nobody, viewer, admin, owner, writer}'),
    'nobody 42501, viewer 42501, admin 42501, owner 42501, writer 42501',
    'nobody makes one, but by a procedure'
);
select
    is(
        tests.outcomes(
            format('update limena.integrations set %I = %I', a.attname, a.attname), '{admin, owner, writer, user}'
        ),
        'admin 42501, owner 42501, writer 42501, user 42501',
        'nobody alters ' || a.attname
    )
from pg_attribute as a
where a.attrelid = 'limena.integrations'::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum;
select is(
    tests.outcomes('select label from limena.integrations for update', '{admin, owner, writer}'),
    'admin 42501, owner 42501, writer 42501',
    'or locks one'
);
select is(
    tests.outcomes('delete from limena.integrations', '{nobody, viewer, member, admin, owner, writer}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, writer 42501',
    'nobody deletes one'
);

set local role limena_readonly;
select is(
    tests.outcome('select label from limena.integrations'), '0', 'limena_readonly sees none before access is declared'
);
select is(tests.outcome('update limena.integrations set label = null'), '42501', 'and writes none');
set local role limena_auth;
select is(tests.outcome('select id from limena.integrations'), '42501', 'limena_auth touches no table');
set local role limena_maintenance;
select is(tests.outcome('select id from limena.integrations'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select id from limena.integrations'), '2', 'limena_owner finds them, for the procedures');
select is(
    tests.outcome('update limena.integrations set refresh_leased_until = now()'), '2', 'changes them, for the lease'
);
select is(tests.outcome(pg_temp.adding('a', tests.user_id('a', 'owner'))), '1', 'makes them, for connect_integration');
select is(tests.outcome('delete from limena.integrations'), '2', 'and deletes them, for erase_tenant');

-- What is recorded of it.
set local role postgres;
update limena.integrations set label = 'changed', refresh_leased_until = now()
where tenant_id = tests.tenant_id('a') and provider = 'anthropic';
select is(
    (
        select l.changes from limena.audit_logs as l
        where l.action = 'integration.updated'
    ),
    '{"label": ["label of a", "changed"]}'::jsonb,
    'a change is in the log, the lease is not'
);

select * from finish();
rollback;
