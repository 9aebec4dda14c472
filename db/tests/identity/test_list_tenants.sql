-- limena.list_tenants(): one's own tenants, page by page, and no other. Fails without the function.
begin;
select plan(14);

select tests.make_tenants();
select
    tests.make_api_key(p_tenant => 'a', p_scopes => array(
        select p.name from limena.permissions as p
        where p.name <> 'tenant:own'
    ));
-- The viewer of a belongs to b as well, and to one that is deleted.
update limena.memberships set created_at = '2026-03-01T00:00:00Z'
where user_id = tests.user_id('a', 'viewer');
insert into limena.memberships (tenant_id, user_id, role, created_at) values (
    tests.tenant_id('b'), tests.user_id('a', 'viewer'), 'admin', '2026-02-01T00:00:00Z'
);
insert into limena.tenants (id, name, state) values (tests.id('tenant', 'gone'), 'Gone', 'deleted');
insert into limena.memberships (tenant_id, user_id, role) values (
    tests.id('tenant', 'gone'), tests.user_id('a', 'viewer'), 'owner'
);

set local timezone = 'UTC';
set local role limena_app;
select tests.enter_as('a', 'viewer');
select is(
    limena.list_tenants()::jsonb -> 'items',
    (
        select
            jsonb_agg(
                jsonb_build_object(
                    'id', t.id, 'name', t.name, 'state', 'active', 'role', t.role, 'joined_at', t.joined_at
                ) order by t.joined_at desc
            )
        from (
            values
            (tests.tenant_id('a'), 'Tenant a', 'viewer', '2026-03-01T00:00:00+00:00'),
            (tests.tenant_id('b'), 'Tenant b', 'admin', '2026-02-01T00:00:00+00:00')
        ) as t (id, name, role, joined_at)
    ),
    'the one joined last first, each with one''s role there; none that is deleted'
);
select is(limena.list_tenants()::jsonb -> 'next', 'null'::jsonb, 'all on one page: nothing next');
select is(
    (
        select limena.list_tenants(1, p.page ->> 'next')::jsonb #>> '{items, 0, id}'
        from (select limena.list_tenants(1)::jsonb as page) as p
    ),
    tests.tenant_id('b')::text,
    'the second page goes on where the first one stopped'
);
select limena.enter_session(tests.session_hash('a', 'viewer'), null);
select is(
    jsonb_array_length(limena.list_tenants()::jsonb -> 'items'), 2, 'the same in no tenant: one chooses from there'
);

-- Never another's.
select is(
    tests.outcomes(
        'select from jsonb_array_elements(limena.list_tenants()::jsonb -> ''items'')',
        '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 42501, viewer 2, member 1, admin 1, owner 1, key 42501',
    'each their own, an owner too; a key not its creator''s, whatever its scopes'
);

-- What is refused.
select is(tests.error_of(format('select limena.list_tenants(%s)', w.arguments)), w.error, w.arguments)
from (
    values
    ('0', '22023 must be from 1 to 200; column limit'),
    ('201', '22023 must be from 1 to 200; column limit'),
    ('null', '22023 must be from 1 to 200; column limit')
) as w (arguments, error);
select
    alike(
        tests.error_of(format('select limena.list_tenants(50, %L)', w.cursor)),
        '22023 %; column after',
        'cursor ' || left(w.cursor, 20)
    )
from (values ('x'), ('0_x'), ('_')) as w (cursor);
select is(
    tests.error_of(
        format('select set_config(''app.seal'', %L, true); select limena.list_tenants()', repeat('0', 64))
    ),
    '42501 the tenant context does not match its seal',
    'a context of one''s own making is refused'
);
set local role limena_auth;
select is(tests.outcome('select limena.list_tenants()'), '42501', 'not for limena_auth');
set local role limena_readonly;
select is(tests.outcome('select limena.list_tenants()'), '42501', 'nor for limena_readonly');

select * from finish();
rollback;
