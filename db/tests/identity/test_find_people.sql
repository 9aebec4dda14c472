-- limena.find_people(): who is told who somebody is. Fails without the conditions of the function.
begin;
select plan(11);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{members:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{ai:use}');
select set_config(
    'tests.everyone', (select array_agg(u.id)::text from limena.users as u), true
);

set local role limena_app;
select is(
    tests.outcomes(
        format('select from limena.find_people(%L)', current_setting('tests.everyone')),
        '{nobody, viewer, member, admin, owner, reader, other}'
    ),
    'nobody 0, viewer 4, member 4, admin 4, owner 4, reader 4, other 1',
    'with members:read the people of one''s tenant; without it oneself, and a key its creator'
);
select is(
    tests.outcomes($$select from limena.find_people(array[tests.user_id('b', 'owner')])$$),
    'nobody 0, viewer 0, member 0, admin 0, owner 0',
    'nobody of another tenant'
);
select is(
    tests.outcomes($$select from limena.find_people(array[tests.id('nobody', '')])$$),
    'nobody 0, viewer 0, member 0, admin 0, owner 0',
    'as little as somebody who does not exist'
);
select is(
    tests.outcomes('select from limena.find_people(null)'),
    'nobody 0, viewer 0, member 0, admin 0, owner 0',
    'nobody for NULL'
);
select is(
    tests.outcomes($$select from limena.find_people('{}')$$),
    'nobody 0, viewer 0, member 0, admin 0, owner 0',
    'nor for nobody'
);

select tests.enter_as('a', 'viewer');
select results_eq(
    $$select * from limena.find_people(array[tests.user_id('a', 'owner'), tests.user_id('b', 'owner'), null])$$,
    $$values (tests.user_id('a', 'owner'), 'owner@a.example', 'owner of a')$$,
    'who they are, and no more'
);
select ok(limena.enter_session(tests.session_hash('a', 'owner'), null), 'a person enters without a tenant');
select results_eq(
    format('select id from limena.find_people(%L)', current_setting('tests.everyone')),
    array[tests.user_id('a', 'owner')],
    'and finds themselves alone'
);

-- Someone of two tenants is seen in both; what they are in the other is not.
select tests.leave();
reset role;
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('a'), tests.user_id('b', 'viewer'), 'viewer');
set local role limena_app;
select is(
    tests.outcomes($$select from limena.find_people(array[tests.user_id('b', 'viewer')])$$),
    'nobody 0, viewer 1, member 1, admin 1, owner 1',
    'a person of two tenants is seen in this one too'
);

select set_config('app.current_tenant_id', tests.tenant_id('b')::text, true);
select is(
    tests.outcome($$select from limena.find_people(array[tests.user_id('b', 'owner')])$$),
    '42501',
    'a forged context is refused'
);
reset role;
select is(
    has_function_privilege('limena_auth', 'limena.find_people(uuid [])', 'execute')
    or has_function_privilege('limena_readonly', 'limena.find_people(uuid [])', 'execute')
    or has_function_privilege('limena_maintenance', 'limena.find_people(uuid [])', 'execute'),
    false,
    'nobody but limena_app may ask'
);

select * from finish();
rollback;
