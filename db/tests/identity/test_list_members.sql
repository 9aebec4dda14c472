-- limena.list_members(): who is told of whom, page by page. Fails without the function.
begin;
select plan(33);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{members:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{tenant:read}');
update limena.memberships set created_at = '2026-01-01T00:00:00.123456Z'
where tenant_id = tests.tenant_id('a');
update limena.memberships
set created_at = '2026-02-01T00:00:00Z'
where tenant_id = tests.tenant_id('a') and user_id = tests.user_id('a', 'member');

set local timezone = 'UTC';
set local role limena_app;
select tests.enter_as('a', 'viewer');
select is(
    (limena.list_members()::jsonb #> '{items, 0}'),
    jsonb_build_object(
        'user_id',
        tests.user_id('a', 'member'),
        'email',
        'member@a.example',
        'display_name',
        'member of a',
        'role',
        'member',
        'created_at', '2026-02-01T00:00:00+00:00'
    ),
    'the newest first, with what there is to say'
);
select is(
    array(select i.item ->> 'user_id' from jsonb_array_elements(limena.list_members()::jsonb -> 'items') as i (item)),
    array[tests.user_id('a', 'member')::text] || array(
        select tests.user_id('a', r.role)::text as id
        from unnest(array['owner', 'admin', 'viewer']) as r (role)
        order by tests.user_id('a', r.role) desc
    ),
    'those of one moment by id, so that the order is always the same'
);
select is(limena.list_members()::jsonb -> 'next', 'null'::jsonb, 'all on one page: nothing next');
select is(
    array(
        select jsonb_object_keys(limena.list_members()::jsonb) as key
        order by key
    ),
    '{items, next}',
    'two fields, always'
);

-- Pages, also where the cursor stands between members of one moment and where the list ends with a page.
select
    is(
        tests.pages('limena.list_members(%s, %L)', p.size, 'user_id'),
        tests.paged(
            'select m.user_id from limena.memberships as m order by m.created_at desc, m.user_id desc', p.size
        ),
        format('pages of %s: each member once, in order, and no empty page at the end', p.size)
    )
from (values (1), (2), (3), (4), (5), (200)) as p (size);

-- Who may.
select is(
    tests.outcomes('select limena.list_members()', '{nobody, viewer, member, admin, owner, reader, other}'),
    'nobody 42501, viewer 1, member 1, admin 1, owner 1, reader 1, other 42501', 'whoever has members:read'
);
select tests.enter_with_key('a', 'other');
select is(
    tests.error_of('select limena.list_members()'),
    '42501 permission denied; detail members:read',
    'else it says what is missing'
);

-- Another tenant, with the cursor of this one.
select tests.enter_as('a');
select set_config('tests.cursor', limena.list_members(1)::jsonb ->> 'next', true);
select tests.enter_as('b');
select is(
    (
        select array_agg(i.item ->> 'email' order by i.item ->> 'email')
        from jsonb_array_elements(limena.list_members()::jsonb -> 'items') as i (item)
    ),
    '{admin@b.example, member@b.example, owner@b.example, viewer@b.example}', 'each tenant has its own list'
);
select is_empty(
    $$select i.item
    from jsonb_array_elements(limena.list_members(200, current_setting('tests.cursor'))::jsonb -> 'items') as i (item)
    where i.item ->> 'email' not like '%@b.example'$$,
    'and another''s cursor leads nowhere else'
);
select limena.enter_session(tests.session_hash('a', 'owner'), null);
select is(
    tests.error_of('select limena.list_members()'),
    '42501 permission denied; detail members:read',
    'in no tenant there is no list'
);

-- Bad input.
select tests.enter_as('a');
select is(
    tests.error_of('select limena.list_members(0)'),
    '22023 must be from 1 to 200; column limit',
    'a page of none'
);
select is(
    tests.error_of('select limena.list_members(201)'),
    '22023 must be from 1 to 200; column limit',
    'a page of too many'
);
select is(
    tests.error_of('select limena.list_members(null)'),
    '22023 must be from 1 to 200; column limit',
    'a page of NULL'
);
select
    is(
        tests.error_of(format('select limena.list_members(50, %L)', c.cursor)),
        '22023 is not a cursor of this list; column after',
        format('the cursor %L', left(c.cursor, 50))
    )
from (
    values
    (''), ('_'), ('1_'), ('_1'), ('x'), ('1_x'), ('1_1'), ('-1_' || tests.user_id('a', 'owner')),
    ('1_' || upper(tests.user_id('a', 'owner')::text)), ('1_' || tests.user_id('a', 'owner') || ' '),
    ('1_' || tests.user_id('a', 'owner') || '_1'), (repeat('9', 17) || '_' || tests.user_id('a', 'owner')),
    ('1.5_' || tests.user_id('a', 'owner')), (E'1_\n' || tests.user_id('a', 'owner')), (repeat('1', 100000))
) as c (cursor);

select * from finish();
rollback;
