-- limena.api_keys below the API: each actor, own tenant and another's. Fails without db/policies/api_keys/api_keys.sql.
begin;
select plan(39);

select results_eq(
    $$select tests.policies_of('limena.api_keys')$$,
    array[
        'api_keys_delete_owner: delete to limena_owner',
        'api_keys_insert_app: insert to limena_app',
        'api_keys_select_app: select to limena_app',
        'api_keys_select_owner: select to limena_owner',
        'api_keys_select_readonly: select to limena_readonly',
        'api_keys_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.api_keys'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.api_keys')$$,
    array[
        'limena_app: insert (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by, expires_at,'
        ' calls_per_minute)',
        'limena_app: select (tenant_id, id, name, prefix, last_four, scopes, created_by, created_at,'
        ' expires_at, revoked_at, calls_per_minute, retires_at, replaced_by)',
        'limena_readonly: select (tenant_id, id, name, prefix, last_four, scopes, created_by, created_at,'
        ' expires_at, revoked_at, calls_per_minute, retires_at, replaced_by)'
    ],
    'exactly these privileges: key_hash for nobody to read, a key for nobody to alter'
);

-- Four keys in a, two in b. One of each is revoked.
select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{api_keys:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{api_keys:write}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{ai:use}');
select tests.make_api_key(p_tenant => 'a', p_name => 'revoked');
select tests.make_api_key(p_tenant => 'b', p_name => 'key');
select tests.make_api_key(p_tenant => 'b', p_name => 'revoked');
update limena.api_keys set revoked_at = now()
where name = 'revoked';

create function pg_temp.adding(
    p_tenant text,
    p_scopes text[] default '{ai:use}',
    p_creator text default 'limena.current_user_id()'
)
returns text
language sql
as $$
select format(
    'insert into limena.api_keys (tenant_id, name, prefix, last_four, scopes, key_hash, created_by)'
    ' values (%L, ''new'', ''lmn_000000'', ''0000'', %L, sha256(''x''), %s)',
    tests.tenant_id(p_tenant), p_scopes, p_creator
)
$$;

set local role limena_app;
select is(
    tests.outcomes('select id from limena.api_keys', '{nobody, viewer, member, admin, owner, reader, writer, other}'),
    'nobody 0, viewer 0, member 0, admin 4, owner 4, reader 4, writer 4, other 0',
    'api_keys:read and api_keys:write see the keys of one tenant'
);
select is(
    tests.outcomes(
        $$select id from limena.api_keys where tenant_id = tests.tenant_id('b') or id = tests.api_key_id('b', 'key')$$,
        '{nobody, viewer, member, admin, owner, reader, writer, other}'
    ),
    'nobody 0, viewer 0, member 0, admin 0, owner 0, reader 0, writer 0, other 0',
    'another tenant''s are not there'
);
select is(
    tests.outcomes('select key_hash from limena.api_keys'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody reads a key''s hash'
);
select is(
    tests.outcomes($$select id from limena.api_keys where key_hash = tests.key_hash('a', 'reader')$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nor finds a key by it'
);

select is(
    tests.outcomes(pg_temp.adding('a'), '{nobody, viewer, member, admin, owner, reader}'),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, reader 42501',
    'api_keys:write makes a key'
);
select is(
    tests.outcomes(pg_temp.adding('a'), '{writer}'),
    'writer 42501',
    'a key makes none with a scope that it lacks itself'
);
select is(
    tests.outcomes(pg_temp.adding('a', '{api_keys:write}'), '{writer}'),
    'writer 1',
    'and may pass on what it has'
);
select is(
    tests.outcomes(pg_temp.adding('a', '{ai:use, tenant:own}'), '{admin, owner}'), 'admin 42501, owner 1',
    'nobody gives a key more than they hold'
);
select is(
    tests.outcomes(pg_temp.adding('b'), '{nobody, viewer, member, admin, owner, writer}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, writer 42501',
    'nobody makes a key of another tenant'
);
select is(
    tests.outcomes(pg_temp.adding('a', '{ai:use}', quote_literal(tests.user_id('a', 'viewer'))), '{admin, owner}'),
    'admin 42501, owner 42501',
    'nobody makes one in another''s name'
);

-- Nor locks one: that needs the right to update.
select is(
    tests.outcomes('select id from limena.api_keys for key share', '{admin, owner, writer}'),
    'admin 42501, owner 42501, writer 42501',
    'nobody locks one'
);
-- Whatever the columns are: generated, so that one more is not forgotten.
select
    is(
        tests.outcomes(
            format(
                'update limena.api_keys set %I = %I where id = tests.api_key_id(''a'', ''other'')', a.attname, a.attname
            ),
            '{admin, owner, writer}'
        ),
        'admin 42501, owner 42501, writer 42501',
        'nobody alters ' || a.attname
    )
from pg_attribute as a
where a.attrelid = 'limena.api_keys'::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum;

select is(
    tests.outcomes('delete from limena.api_keys', '{nobody, viewer, member, admin, owner, writer}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, writer 42501',
    'nobody deletes a key'
);

set local role limena_readonly;
select is(
    tests.outcome('select id, name, scopes from limena.api_keys'),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('select key_hash from limena.api_keys'), '42501', 'and no hash ever');
select is(tests.outcome('update limena.api_keys set revoked_at = now()'), '42501', 'and writes none');

set local role limena_auth;
select is(tests.outcome('select id from limena.api_keys'), '42501', 'limena_auth touches no table');

set local role limena_maintenance;
select is(tests.outcome('select id from limena.api_keys'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select id from limena.api_keys'), '6', 'limena_owner finds them, for enter_api_key');
select is(
    tests.outcome(pg_temp.adding('a', '{ai:use}', quote_literal(tests.user_id('a', 'owner')))),
    '42501',
    'makes none: no policy says so'
);
select is(
    tests.outcome('update limena.api_keys set revoked_at = null'), '6',
    'changes them, for retire_api_key and remove_member'
);
select is(tests.outcome('delete from limena.api_keys'), '6', 'and deletes them, for erase_tenant');

select * from finish();
rollback;
