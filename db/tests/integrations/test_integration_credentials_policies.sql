-- limena.integration_credentials below the API: each actor, own tenant and another's. Fails without
-- db/policies/integrations/integration_credentials.sql.
begin;
select plan(25);

select results_eq(
    $$select tests.policies_of('limena.integration_credentials')$$,
    array[
        'integration_credentials_delete_owner: delete to limena_owner',
        'integration_credentials_insert_owner: insert to limena_owner',
        'integration_credentials_select_app: select to limena_app',
        'integration_credentials_select_owner: select to limena_owner',
        'integration_credentials_select_readonly: select to limena_readonly',
        'integration_credentials_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.integration_credentials'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.integration_credentials')$$,
    array[
        'limena_app: select (tenant_id, integration_id, field, key_version, expires_at, created_at)',
        'limena_readonly: select (tenant_id, integration_id, field, key_version, expires_at, created_at)'
    ],
    'exactly these privileges: a ciphertext is nobody''s to read'
);

select tests.make_tenants();
select tests.make_integration(p_tenant => 'a');
select tests.make_integration(p_tenant => 'b');
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{integrations:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{integrations:write}');
select tests.make_api_key(p_tenant => 'a', p_name => 'user', p_scopes => '{integrations:use}');

create function pg_temp.adding(p_tenant text, p_integration uuid)
returns text
language sql
as $$
select format(
    'insert into limena.integration_credentials (tenant_id, integration_id, field, key_version, ciphertext) '
    'values (%L, %L, %L, 1, %L)',
    tests.tenant_id(p_tenant), p_integration, 'access_token', tests.ciphertext('new')
)
$$;

set local role limena_app;
select is(
    tests.outcomes(
        'select key_version from limena.integration_credentials',
        '{nobody, viewer, member, admin, owner, reader, writer, user}'
    ),
    'nobody 0, viewer 1, member 1, admin 1, owner 1, reader 1, writer 1, user 0',
    'integrations:read or :write sees that there are some in one tenant'
);
select is(
    tests.outcomes(
        'select ciphertext from limena.integration_credentials', '{viewer, member, admin, owner, writer, user}'
    ),
    'viewer 42501, member 42501, admin 42501, owner 42501, writer 42501, user 42501',
    'nobody reads a ciphertext'
);
select is(
    tests.outcomes(
        $$select field from limena.integration_credentials where ciphertext = ''$$, '{owner, writer}'
    ),
    'owner 42501, writer 42501',
    'or asks after one'
);
select is(
    tests.outcomes(
        $$select field from limena.integration_credentials where tenant_id = tests.tenant_id('b')$$,
        '{nobody, viewer, admin, owner, reader, writer}'
    ),
    'nobody 0, viewer 0, admin 0, owner 0, reader 0, writer 0',
    'another''s are not there'
);
select is(
    tests.outcomes(
        pg_temp.adding('a', tests.integration_id('a')), '{nobody, viewer, member, admin, owner, reader, writer, user}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, reader 42501, writer 42501, user 42501',
    'nobody makes one, but by a procedure'
);
select
    is(
        tests.outcomes(
            format('update limena.integration_credentials set %I = %I', a.attname, a.attname),
            '{admin, owner, writer, user}'
        ),
        'admin 42501, owner 42501, writer 42501, user 42501',
        'nobody alters ' || a.attname
    )
from pg_attribute as a
where a.attrelid = 'limena.integration_credentials'::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum;
select is(
    tests.outcomes(
        'delete from limena.integration_credentials', '{nobody, viewer, admin, owner, reader, writer, user}'
    ),
    'nobody 42501, viewer 42501, admin 42501, owner 42501, reader 42501, writer 42501, user 42501',
    'nobody deletes one'
);

set local role limena_readonly;
select is(
    tests.outcome('select field from limena.integration_credentials'),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('select ciphertext from limena.integration_credentials'), '42501', 'and no ciphertext ever');
set local role limena_auth;
select is(tests.outcome('select field from limena.integration_credentials'), '42501', 'limena_auth touches no table');
set local role limena_maintenance;
select is(tests.outcome('select field from limena.integration_credentials'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(
    tests.outcome('select ciphertext from limena.integration_credentials'),
    '2',
    'limena_owner reads, for its procedures'
);
select is(
    tests.outcome('update limena.integration_credentials set key_version = 2'), '2', 'changes, for the rotation'
);
select is(tests.outcome(pg_temp.adding('a', tests.integration_id('a'))), '1', 'makes, for connecting and a refresh');
select is(
    tests.outcome('delete from limena.integration_credentials'), '2', 'and deletes, for connecting and erase_tenant'
);

-- What is recorded of it.
set local role postgres;
update limena.integration_credentials set key_version = 2, ciphertext = tests.ciphertext('other')
where tenant_id = tests.tenant_id('a');
select is(
    (
        select l.changes from limena.audit_logs as l
        where l.action = 'integration_credential.resealed'
    ),
    '{"ciphertext": ["[redacted]", "[redacted]"], "key_version": [1, 2]}'::jsonb,
    'a change is in the log, the ciphertext is not'
);

select * from finish();
rollback;
