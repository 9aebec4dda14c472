-- limena.get_me(): what each kind of caller is told about themselves. Fails without the function.
begin;
select plan(6);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'blind', p_scopes => '{ai:use}');
select tests.make_api_key(p_tenant => 'a', p_name => 'powerless', p_scopes => '{tenant:own}', p_creator => 'viewer');
select tests.make_api_key(p_tenant => 'b');

set local role limena_app;
select tests.enter_as('a', 'viewer');
select is(
    limena.get_me(),
    jsonb_build_object(
        'user',
        jsonb_build_object(
            'id', tests.user_id('a', 'viewer'), 'email', 'viewer@a.example', 'display_name', 'viewer of a'
        ),
        'is_platform_admin', false,
        'tenant', jsonb_build_object('id', tests.tenant_id('a'), 'name', 'Tenant a', 'state', 'active'),
        'role', 'viewer',
        'permissions', '["ai:read", "integrations:read", "members:read", "tenant:read"]'::jsonb,
        'notices', '[]'::jsonb
    ),
    'a person in a tenant'
);
select tests.enter_with_key('a', 'blind');
select is(
    limena.get_me(),
    jsonb_build_object(
        'api_key', jsonb_build_object('id', tests.api_key_id('a', 'blind'), 'name', 'blind', 'prefix', 'lmn_tests0'),
        'tenant', jsonb_build_object('id', tests.tenant_id('a'), 'name', 'Tenant a', 'state', 'active'),
        'role', 'owner',
        'permissions', '["ai:use"]'::jsonb,
        'notices', '[]'::jsonb
    ),
    'a key, which may see nothing else: no user, its own permissions'
);
select tests.enter_with_key('a', 'powerless');
select is(limena.get_me() -> 'permissions', '[]'::jsonb, 'a key with no permission at all');
reset role;
update limena.users set is_platform_admin = true
where id = tests.user_id('a', 'owner');
set local role limena_app;
select limena.enter_session(tests.session_hash('a', 'owner'), null);
select is(
    limena.get_me(),
    jsonb_build_object(
        'user',
        jsonb_build_object('id', tests.user_id('a', 'owner'), 'email', 'owner@a.example', 'display_name', 'owner of a'),
        'is_platform_admin', true,
        'tenant', null,
        'role', null,
        'permissions', '[]'::jsonb,
        'notices', '[]'::jsonb
    ),
    'a platform admin in no tenant'
);
select tests.enter_with_key('b');
select is(limena.get_me() #>> '{tenant, name}', 'Tenant b', 'another tenant''s key hears of another tenant');
select tests.leave();
select is(tests.error_of('select limena.get_me()'), '42501 permission denied', 'nobody is told nothing');

select * from finish();
rollback;
