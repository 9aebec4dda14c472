-- limena.tenant_with() and limena.holds(): what policies ask, in one reading of the context. Fails without either
-- function.
begin;
select plan(26);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_scopes => '{members:read, ai:use}', p_creator => 'admin');

-- tenant_with(): the tenant for whoever has one of the permissions, else NULL.
set local role limena_app;
select is(limena.tenant_with('tenant:read'), null, 'no context: no tenant');
select tests.enter_as('a', 'viewer');
select is(limena.tenant_with('members:read'), tests.tenant_id('a'), 'the permission is there: the tenant');
select is(limena.tenant_with('members:write'), null, 'it is not: none');
select is(limena.tenant_with('members:write', 'members:read'), tests.tenant_id('a'), 'one of two is enough');
select is(limena.tenant_with('members:write', 'tenant:own'), null, 'none of two is not');
select is(limena.tenant_with(null), null, 'NULL is no permission');
select is(limena.tenant_with('members:read', null), tests.tenant_id('a'), 'nor does it take one away');
select is(limena.tenant_with(variadic '{}'), null, 'no permission at all opens nothing');
select is(limena.tenant_with(variadic null), null, 'nor does a NULL of them');
select tests.enter_with_key('a');
select is(limena.tenant_with('ai:use'), tests.tenant_id('a'), 'a key: its scope');
select is(limena.tenant_with('api_keys:read'), null, 'not what its creator has besides');
select limena.enter_session(tests.session_hash('a', 'owner'), null);
select is(limena.tenant_with('tenant:own'), null, 'in no tenant: none');

-- holds(): tenant, person and every permission, or false; never NULL.
select tests.leave();
select is(
    limena.holds(tests.tenant_id('a'), tests.user_id('a', 'member'), '{ai:use}'), false, 'no context holds nothing'
);
select tests.enter_as('a', 'member');
select is(limena.holds(w.tenant_id, w.user_id, w.permissions), w.answer, w.description)
from (
    values
    (
        tests.tenant_id('a'),
        tests.user_id('a', 'member'),
        '{ai:use}'::text[],
        true,
        'tenant, person and permission: true'
    ),
    (tests.tenant_id('a'), tests.user_id('a', 'member'), '{ai:use, ai:read}', true, 'every permission: true'),
    (tests.tenant_id('a'), tests.user_id('a', 'member'), '{}', true, 'none asked for: true'),
    (tests.tenant_id('a'), tests.user_id('a', 'member'), '{ai:use, tenant:own}', false, 'one that is missing: false'),
    (
        tests.tenant_id('a'),
        tests.user_id('a', 'member'),
        '{NULL, tenant:own}',
        false,
        'one that is missing beside a NULL: false'
    ),
    (tests.tenant_id('a'), tests.user_id('a', 'member'), null, false, 'NULL for permissions: false'),
    (tests.tenant_id('b'), tests.user_id('a', 'member'), '{ai:use}', false, 'another tenant: false'),
    (null, tests.user_id('a', 'member'), '{ai:use}', false, 'NULL for the tenant: false'),
    (tests.tenant_id('a'), tests.user_id('a', 'owner'), '{ai:use}', false, 'another person: false'),
    (tests.tenant_id('a'), null, '{ai:use}', false, 'NULL for the person: false')
) as w (tenant_id, user_id, permissions, answer, description);
select tests.enter_with_key('a');
select is(
    limena.holds(tests.tenant_id('a'), tests.user_id('a', 'admin'), '{ai:use}'),
    true,
    'a key acts for its creator'
);
select is(limena.holds(tests.tenant_id('a'), tests.user_id('a', 'admin'), '{ai:read}'), false, 'with its scopes');
select limena.enter_session(tests.session_hash('a', 'owner'), null);
select is(limena.holds(null, tests.user_id('a', 'owner'), '{}'), false, 'in no tenant nothing is held');

select * from finish();
rollback;
