-- limena.rotate_api_key(), retire_api_key(), revoke_all_api_keys() and count_api_key_call(): who may, and what holds
-- below them. Fails without them; times and races are in api/tests/test_key_rates.py.
begin;
select plan(23);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'key', p_scopes => '{members:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'strong', p_scopes => '{tenant:own}');
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{api_keys:write, members:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'bare', p_scopes => '{api_keys:write}');
select tests.make_api_key(p_tenant => 'a', p_name => 'revoked');
select tests.make_api_key(p_tenant => 'b', p_name => 'key');
update limena.api_keys set revoked_at = now()
where name = 'revoked';
create function pg_temp.rotating(p_name text, p_grace integer default 60, p_tenant text default 'a')
returns text
language sql
as $$
select format(
    'select limena.rotate_api_key(%L, ''lmn_abcdef'', ''0000'', sha256(''new''), %L)', tests.api_key_id(p_tenant, p_name), p_grace
)
$$;

set local role limena_app;
select
    is(
        tests.outcomes(pg_temp.rotating(c.name), '{nobody, viewer, member, admin, owner, writer, bare}'),
        c.expected,
        c.name
    )
from (
    values
    ('key', 'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, writer 1, bare 42501'),
    ('strong', 'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1, writer 42501, bare 42501'),
    ('revoked', 'nobody 42501, viewer 42501, member 42501, admin LM002, owner LM002, writer 42501, bare 42501')
) as c (name, expected);
select is(
    tests.outcomes(pg_temp.rotating('key', 60, 'b')),
    'nobody 42501, viewer 42501, member 42501, admin P0002, owner P0002',
    'another tenant''s key is not there'
);
select tests.enter_as('a', 'owner');
select
    is(
        tests.error_of(pg_temp.rotating('key', g.seconds)),
        '22023 must be from 0 to 2592000, which is 30 days; column grace_seconds',
        'a grace of ' || coalesce(g.seconds::text, 'NULL')
    )
from (values (-1), (2592001), (null)) as g (seconds);
select is(
    tests.outcomes('select limena.revoke_all_api_keys()', '{nobody, viewer, member, admin, owner, writer, key}'),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, writer 1, key 42501',
    'whoever may revoke one may revoke all'
);

-- SQL of one's own: a key ends earlier by it, never later.
select tests.enter_as('a', 'owner');
select limena.rotate_api_key(tests.api_key_id('a', 'key'), 'lmn_abcdef', '0000', sha256('new'), 60);
select
    is(
        tests.error_of(
            format(
                'select limena.retire_api_key(%L, %L, %s)',
                tests.api_key_id('a', k.name),
                tests.api_key_id('a', k.successor),
                99999
            )
        ),
        k.error, k.description
    )
from (
    values
    ('key', 'writer', 'LM002 The key has ended, or was rotated before.', 'a grace is not prolonged'),
    ('writer', 'writer', 'LM002 The key has ended, or was rotated before.', 'no key replaces itself'),
    ('revoked', 'writer', 'LM002 The key has ended, or was rotated before.', 'a revoked key stays revoked')
) as k (name, successor, error, description);
select is(
    tests.outcome(
        format(
            'select limena.retire_api_key(%L, %L, 60)', tests.api_key_id('a', 'writer'), tests.api_key_id('b', 'key')
        )
    ),
    '23503', 'no key of another tenant replaces one'
);
select is(
    tests.outcomes(
        format(
            'select limena.retire_api_key(%L, %L, 60)', tests.api_key_id('a', 'strong'), tests.api_key_id('a', 'bare')
        )
    ),
    'nobody LM002, viewer LM002, member LM002, admin 1, owner 1', 'nor without api_keys:write'
);
reset role;
select results_eq(
    $$select
        k.retires_at - clock_timestamp() between interval '50 seconds' and interval '60 seconds',
        k.revoked_at,
        n.created_by
    from limena.api_keys as k
    inner join limena.api_keys as n on k.tenant_id = n.tenant_id and k.replaced_by = n.id
    where k.id = tests.api_key_id('a', 'key') and k.tenant_id = tests.tenant_id('a')$$,
    $$values (true, null::timestamptz, tests.user_id('a', 'owner'))$$,
    'the old key ends after its grace, the new one is the caller''s'
);
select results_eq(
    $$select l.action from limena.audit_logs as l where l.entity_type = 'api_key' order by l.seq desc limit 2$$,
    array['api_key.rotated', 'api_key.created'],
    'both are in the log'
);
set local role limena_app;
select lives_ok($$select tests.enter_with_key('a', 'key')$$, 'the old key works in its grace');
reset role;
update limena.api_keys set retires_at = clock_timestamp()
where id = tests.api_key_id('a', 'key');
set local role limena_app;
select throws_ok($$select tests.enter_with_key('a', 'key')$$, '28000', null, 'and not after');

-- Counting.
reset role;
update limena.api_keys set calls_per_minute = 2
where id = tests.api_key_id('a', 'writer');
set local role limena_app;
select is(
    tests.error_of(format('select limena.enter_api_key(%L)', tests.key_hash('a', 'writer'))),
    'LM005 the call was not counted', 'a key that has a rate is not entered uncounted'
);
select is(
    tests.error_of(
        format(
            'select limena.enter_api_key(p_key_hash => %L, p_call_id => %L)',
            tests.key_hash('a', 'writer'),
            tests.id('call', 'x')
        )
    ),
    'LM005 the call was not counted', 'nor with a call that was not'
);
select limena.count_api_key_call(tests.key_hash('a', 'writer'), tests.id('call', '1'));
select lives_ok(
    format(
        'select limena.enter_api_key(p_key_hash => %L, p_call_id => %L)',
        tests.key_hash('a', 'writer'),
        tests.id('call', '1')
    ),
    'but with one that was'
);
select lives_ok(
    format('select limena.count_api_key_call(%L, %L)', tests.key_hash('a', 'writer'), tests.id('call', '2')),
    'the second call'
);
select matches(
    tests.error_of(
        format('select limena.count_api_key_call(%L, %L)', tests.key_hash('a', 'writer'), tests.id('call', '3'))
    ),
    '^LM004 the key was used too often; detail (60|61)$', 'the third says how long to wait'
);
select lives_ok(
    format('select limena.count_api_key_call(%L, %L, true)', tests.key_hash('a', 'writer'), tests.id('call', '3')),
    'what was counted before is not counted again'
);

select * from finish();
rollback;
