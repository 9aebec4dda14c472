-- limena.create_api_key(): who may make a key, and that none holds more than its maker. Fails without the function;
-- what the policies refuse without its help is in test_api_keys_policies.sql.
begin;
select plan(54);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{api_keys:write, ai:use}');
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{api_keys:read}');
select tests.make_api_key(p_tenant => 'b');
create temporary table logged as select l.id from limena.audit_logs as l;
create temporary table answers (name text, answer jsonb);
grant insert on answers to limena_app;

create function pg_temp.creating(
    p_scopes text[] default '{ai:use}',
    p_name text default 'new',
    p_prefix text default 'lmn_abcdef',
    p_last_four text default 'wxyz',
    p_key_hash bytea default sha256('new'),
    p_expires_at timestamptz default null
)
returns text
language sql
as $$
select format(
    'select limena.create_api_key(%L, %L, %L, %L, %L, %L)',
    p_name,
    p_scopes,
    p_prefix,
    p_last_four,
    p_key_hash,
    p_expires_at
)
$$;

-- Who may.
set local role limena_app;
select is(
    tests.outcomes(pg_temp.creating(), '{nobody, viewer, member, admin, owner, writer, reader}'),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, writer 1, reader 42501',
    'whoever has api_keys:write'
);
select tests.enter_as('a', 'member');
select is(
    tests.error_of(pg_temp.creating()), '42501 permission denied; detail api_keys:write', 'else it says what is missing'
);
select limena.enter_session(tests.session_hash('a', 'owner'), null);
select is(
    tests.error_of(pg_temp.creating()), '42501 permission denied; detail api_keys:write', 'in no tenant there is no key'
);

-- What a key may hold: what its maker holds, each permission that there is.
select
    is(
        tests.outcomes(pg_temp.creating(array[p.name]), '{admin, owner, writer}'),
        format(
            'admin %s, owner 1, writer %s', case p.name when 'tenant:own' then '42501' else '1' end,
            case when p.name in ('api_keys:write', 'ai:use') then '1' else '42501' end
        ),
        'a key with ' || p.name
    )
from limena.permissions as p
order by p.name;
select tests.enter_as('a', 'admin');
select is(
    tests.error_of(pg_temp.creating('{members:read, tenant:own}')), '42501 permission denied; detail tenant:own',
    'the error names the scope that the maker lacks'
);
select tests.enter_with_key('a', 'writer');
select is(
    tests.error_of(pg_temp.creating('{ai:use, members:read}')), '42501 permission denied; detail members:read',
    'a key makes none with what its creator has and it has not'
);

-- What comes of it.
reset role;
set local timezone = 'UTC';
set local role limena_app;
select limena.enter_session(tests.session_hash('a', 'admin'), tests.tenant_id('a'), 'request 1');
insert into answers
values (
    'full',
    limena.create_api_key(
        p_name => 'Nightly', p_scopes => '{members:read, ai:use}', p_prefix => 'lmn_abcdef', p_last_four => 'wxyz',
        p_key_hash => sha256('marked key'), p_expires_at => now() + interval '1 day'
    )
);
insert into answers values (
    'plain', limena.create_api_key('Plain', '{ai:use}', 'lmn_123456', '7890', sha256('plain key'))
);
reset role;
select results_eq(
    $$select
        k.tenant_id,
        k.name,
        k.prefix,
        k.last_four,
        k.scopes,
        k.key_hash,
        k.created_by,
        k.created_at,
        k.expires_at,
        k.revoked_at
    from limena.api_keys as k
    where k.name in ('Nightly', 'Plain')
    order by k.name$$,
    $$values
    (
        tests.tenant_id('a'), 'Nightly', 'lmn_abcdef', 'wxyz', '{ai:use, members:read}'::text[], sha256('marked key'),
        tests.user_id('a', 'admin'), now(), now() + interval '1 day', null::timestamptz
    ),
    (
        tests.tenant_id('a'), 'Plain', 'lmn_123456', '7890', '{ai:use}', sha256('plain key'),
        tests.user_id('a', 'admin'), now(), null, null
    )$$,
    'keys of the caller''s tenant, in the caller''s name'
);
select
    is(
        a.answer,
        jsonb_build_object(
            'id',
            k.id,
            'name',
            k.name,
            'prefix',
            k.prefix,
            'last_four',
            k.last_four,
            'scopes',
            k.scopes,
            'created_by',
            k.created_by,
            'created_at', k.created_at, 'expires_at', k.expires_at,
            'calls_per_minute', null, 'retires_at', null, 'last_used_at', null, 'revoked_at', null
        ),
        k.name || ': the answer says so, without the hash'
    )
from limena.api_keys as k
inner join answers as a on (a.answer ->> 'id')::uuid = k.id
order by k.name;
select results_eq(
    $$select k.name, u.last_used_at
    from limena.api_key_uses as u
    inner join limena.api_keys as k on u.tenant_id = k.tenant_id and u.api_key_id = k.id
    where k.name in ('Nightly', 'Plain')
    order by k.name$$,
    $$values ('Nightly', null::timestamptz), ('Plain', null)$$, 'never used'
);
select results_eq(
    $$select l.tenant_id, l.action, l.actor_id, l.entity_type, l.entity_id, l.request_id, l.changes
    from limena.audit_logs as l
    inner join limena.api_keys as k on l.entity_id = k.id::text
    where k.name = 'Nightly'$$,
    $$select
        tests.tenant_id('a'), 'api_key.created', tests.user_id('a', 'admin'), 'api_key', k.id::text, 'request 1',
        jsonb_build_object(
            'tenant_id', jsonb_build_array(null, k.tenant_id), 'id', jsonb_build_array(null, k.id),
            'name',
            '[null, "Nightly"]'::jsonb,
            'prefix',
            '[null, "lmn_abcdef"]'::jsonb,
            'last_four',
            '[null, "wxyz"]'::jsonb,
            'scopes', '[null, ["ai:use", "members:read"]]'::jsonb, 'key_hash', '[null, "[redacted]"]'::jsonb,
            'created_by', jsonb_build_array(null, k.created_by), 'created_at', jsonb_build_array(null, k.created_at),
            'expires_at', jsonb_build_array(null, k.expires_at)
        )
    from limena.api_keys as k
    where k.name = 'Nightly'$$,
    'recorded, with the hash redacted'
);
select is_empty(
    format(
        'select l.id from limena.audit_logs as l where l::text like ''%%%s%%''', encode(sha256('marked key'), 'hex')
    ),
    'it is nowhere in the log'
);

-- A key that makes a key: in its creator's name, logged in its own.
set local role limena_app;
select tests.enter_with_key('a', 'writer');
select lives_ok(pg_temp.creating(p_name => 'child'), 'a key with api_keys:write alone makes a key');
reset role;
select results_eq(
    $$select k.created_by, l.actor_type, l.actor_id
    from limena.api_keys as k
    inner join limena.audit_logs as l on l.entity_id = k.id::text
    where k.name = 'child'$$,
    $$values (tests.user_id('a', 'owner'), 'api_key', tests.api_key_id('a', 'writer'))$$,
    'it belongs to that key''s creator, and the log names the key'
);

-- What it refuses; field by field.
set local role limena_app;
select tests.enter_as('a', 'owner');
select matches(tests.error_of(w.statement), w.pattern, w.description)
from (
    values
    (pg_temp.creating('{}'), '^22023 at least one scope is needed; column scopes$', 'no scope'),
    (pg_temp.creating(null), '^22023 at least one scope is needed; column scopes$', 'scopes of NULL'),
    (pg_temp.creating(array[null]), '^22023 .*; column scopes$', 'a scope of NULL'),
    (pg_temp.creating('{ai:use, NULL}'), '^22023 .*; column scopes$', 'one among others'),
    (pg_temp.creating('{ai:use, ai:use}'), '^22023 a scope is named twice; column scopes$', 'one twice'),
    (pg_temp.creating('{*}'), '^22023 there is no such scope; column scopes$', 'a wildcard'),
    (pg_temp.creating('{ai:use, no:such}'), '^22023 there is no such scope; column scopes$', 'one that does not exist'),
    (pg_temp.creating('{""}'), '^22023 there is no such scope; column scopes$', 'an empty one'),
    (pg_temp.creating(p_expires_at => now()), '^22023 must be in the future; column expires_at$', 'an end that is now'),
    (
        pg_temp.creating(p_expires_at => now() - interval '1 second'),
        '^22023 must be in the future; column expires_at$',
        'an end that was'
    ),
    (
        pg_temp.creating(p_expires_at => '-infinity'),
        '^22023 must be in the future; column expires_at$',
        'one before all time'
    ),
    (pg_temp.creating(p_name => ''), '^23514 .*constraint api_keys_name_check$', 'an empty name'),
    (pg_temp.creating(p_name => ' x'), '^23514 .*constraint api_keys_name_check$', 'a space before it'),
    (pg_temp.creating(p_name => E'x\ny'), '^23514 .*constraint api_keys_name_check$', 'a line break in it'),
    (pg_temp.creating(p_name => repeat('x', 101)), '^23514 .*constraint api_keys_name_check$', 'one that is too long'),
    (pg_temp.creating(p_name => null), '^23502 .*column name$', 'no name'),
    (
        pg_temp.creating(p_prefix => 'abcdef'),
        '^23514 .*constraint api_keys_prefix_check$',
        'a prefix of something else'
    ),
    (
        pg_temp.creating(p_prefix => 'lmn_abcdefgh'),
        '^23514 .*constraint api_keys_prefix_check$',
        'one that shows too much'
    ),
    (
        pg_temp.creating(p_last_four => 'vwxyz'),
        '^23514 .*constraint api_keys_last_four_check$',
        'five of the last four'
    ),
    (pg_temp.creating(p_key_hash => 'short'), '^23514 .*constraint api_keys_key_hash_check$', 'what is no SHA-256'),
    (pg_temp.creating(p_key_hash => null), '^23502 .*column key_hash$', 'no hash'),
    (
        pg_temp.creating(p_key_hash => sha256('marked key')), '^23505 .*constraint api_keys_key_hash_key$',
        'a key that was made before'
    ),
    (
        pg_temp.creating(p_key_hash => tests.key_hash('b')), '^23505 .*constraint api_keys_key_hash_key$',
        'one of another tenant: whoever has its hash has the key'
    )
) as w (statement, pattern, description);
reset role;
select is_empty(
    $$select k.id from limena.api_keys as k where k.name in ('new', '')$$,
    'nothing is left of what was refused'
);

select * from finish();
rollback;
