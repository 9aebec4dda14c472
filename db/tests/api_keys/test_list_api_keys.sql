-- limena.list_api_keys(): who is told of which keys, page by page. Fails without the function.
begin;
select plan(21);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => n.name, p_scopes => '{ai:use}')
from unnest(array['one', 'two', 'three', 'four', 'five']) as n (name);
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{api_keys:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{api_keys:write}');
select tests.make_api_key(p_tenant => 'b', p_name => 'of b', p_scopes => '{api_keys:read}');
-- Four at one moment, to the microsecond; one newer.
update limena.api_keys set created_at = '2026-01-01T00:00:00.123456Z'
where tenant_id = tests.tenant_id('a');
update limena.api_keys
set created_at = '2026-02-01T00:00:00Z', expires_at = '2036-03-01T00:00:00Z', revoked_at = '2026-04-01T00:00:00Z'
where name = 'two';
update limena.api_keys set created_at = '2025-12-31T23:59:59.999999Z'
where name in ('reader', 'writer');
update limena.api_key_uses set last_used_at = '2026-03-15T00:00:00Z'
where api_key_id = tests.api_key_id('a', 'two');

set local timezone = 'UTC';
set local role limena_app;
select tests.enter_as('a', 'admin');
select is(
    (limena.list_api_keys()::jsonb #> '{items, 0}'),
    jsonb_build_object(
        'id',
        tests.api_key_id('a', 'two'),
        'name',
        'two',
        'prefix',
        'lmn_tests0',
        'last_four',
        '0000',
        'scopes',
        '["ai:use"]'::jsonb,
        'created_by', tests.user_id('a', 'owner'), 'created_at', '2026-02-01T00:00:00+00:00',
        'expires_at', '2036-03-01T00:00:00+00:00', 'calls_per_minute', null, 'retires_at', null,
        'last_used_at', '2026-03-15T00:00:00+00:00',
        'revoked_at', '2026-04-01T00:00:00+00:00'
    ),
    'the newest first, revoked or not, with what there is to say and no hash'
);
select is(
    limena.list_api_keys()::jsonb #> '{items, 1, created_at}',
    '"2026-01-01T00:00:00.123456+00:00"',
    'to the microsecond'
);
select is(jsonb_array_length(limena.list_api_keys()::jsonb -> 'items'), 7, 'all of the tenant''s');
select is(limena.list_api_keys()::jsonb -> 'next', 'null'::jsonb, 'on one page: nothing next');

-- Pages, also where the cursor stands between keys of one moment and where the list ends with a page.
select
    is(
        tests.pages('limena.list_api_keys(%s, %L)', p.size, 'id'),
        tests.paged('select k.id from limena.api_keys as k order by k.created_at desc, k.id desc', p.size),
        format('pages of %s: each key once, in order, and no empty page at the end', p.size)
    )
from (values (1), (2), (3), (4), (6), (7), (8), (200)) as p (size);

-- Who may.
select is(
    tests.outcomes('select limena.list_api_keys()', '{nobody, viewer, member, admin, owner, reader, writer}'),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, reader 1, writer 42501', 'whoever has api_keys:read'
);
select tests.enter_as('a', 'member');
select is(
    tests.error_of('select limena.list_api_keys()'),
    '42501 permission denied; detail api_keys:read',
    'else it says what is missing'
);

-- Another tenant, with the cursor of this one.
select tests.enter_as('a');
select set_config('tests.cursor', limena.list_api_keys(1)::jsonb ->> 'next', true);
select tests.enter_as('b');
select is(
    limena.list_api_keys()::jsonb #> '{items, 0, name}', '"of b"'::jsonb, 'each tenant has its own list'
);
select is(jsonb_array_length(limena.list_api_keys()::jsonb -> 'items'), 1, 'and nothing else in it');
select is_empty(
    $$select i.item
    from jsonb_array_elements(limena.list_api_keys(200, current_setting('tests.cursor'))::jsonb -> 'items') as i (item)
    where i.item ->> 'name' <> 'of b'$$,
    'another''s cursor leads nowhere else'
);

-- A tenant without keys.
reset role;
delete from limena.api_keys
where tenant_id = tests.tenant_id('b');
set local role limena_app;
select is(limena.list_api_keys()::jsonb, '{"items": [], "next": null}'::jsonb, 'no keys: an empty list, not NULL');

-- Bad input.
select tests.enter_as('a');
select is(
    tests.error_of('select limena.list_api_keys(0)'),
    '22023 must be from 1 to 200; column limit',
    'a page of none'
);
select is(
    tests.error_of('select limena.list_api_keys(201)'),
    '22023 must be from 1 to 200; column limit',
    'a page of too many'
);
select is(
    tests.error_of('select limena.list_api_keys(50, ''1_1'')'), '22023 is not a cursor of this list; column after',
    'the cursor of another list'
);

select * from finish();
rollback;
