-- limena.switch_tenant(): to another tenant of the person, and to no other. Fails without the function, and where the
-- answer tells a tenant of others from one that never was.
begin;
select plan(20);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer');
insert into limena.sessions (id, user_id, secret_hash, current_tenant_id)
values (tests.id('session', 'second'), tests.user_id('a', 'owner'), sha256('second'), tests.tenant_id('a'));
create temporary table logged as select l.id from limena.audit_logs as l;

set local role limena_app;
select tests.enter_as('a', 'owner');
select is(
    limena.switch_tenant(tests.tenant_id('b')),
    jsonb_build_object('tenant_id', tests.tenant_id('b')),
    'to another tenant of theirs'
);
select is(limena.current_tenant_id(), tests.tenant_id('a'), 'this request stays where it is');
reset role;
select results_eq(
    $$select s.id from limena.sessions as s where s.current_tenant_id = tests.tenant_id('b') and s.user_id = tests.user_id('a', 'owner')$$,  -- noqa: LT05
    array[tests.id('session', 'a owner')],
    'the session that calls has moved, and no other'
);
select
    is_empty(
        'select l.id from limena.audit_logs as l where l.id not in (select g.id from logged as g)',
        'no tenant learns of another'
    );
set local role limena_app;
select limena.enter_session(tests.session_hash('a', 'owner'), tests.tenant_id('b'));
select is(limena.switch_tenant(tests.tenant_id('a')) ->> 'tenant_id', tests.tenant_id('a')::text, 'and back');
select is(limena.switch_tenant(tests.tenant_id('a')) ->> 'tenant_id', tests.tenant_id('a')::text, 'twice is no error');
select limena.enter_session(tests.session_hash('a', 'owner'), null);
select is(limena.switch_tenant(tests.tenant_id('b')) ->> 'tenant_id', tests.tenant_id('b')::text, 'from no tenant');

select is(tests.error_of(format('select limena.switch_tenant(%L)', w.id)), w.error, w.description)
from (
    values
    (tests.id('tenant', 'none'), 'P0002 no such tenant', 'one that does not exist'),
    ('00000000-0000-4000-8000-000000000000', 'P0002 no such tenant', 'the platform''s'),
    (null, '22023 is needed; column tenant_id', 'none')
) as w (id, error, description);
select tests.enter_as('a', 'viewer');
select is(
    tests.error_of(format('select limena.switch_tenant(%L)', tests.tenant_id('b'))), 'P0002 no such tenant',
    'a tenant of others gets the same answer'
);
reset role;
select is(s.current_tenant_id, tests.tenant_id('a'), 'and leaves the session where it was') from limena.sessions as s
where s.id = tests.id('session', 'a viewer');
delete from limena.memberships
where tenant_id = tests.tenant_id('b') and user_id = tests.user_id('a', 'owner');
select is(s.current_tenant_id, null, 'who is removed from a tenant is in none') from limena.sessions as s
where s.id = tests.id('session', 'a owner');
set local role limena_app;
select tests.enter_as('a', 'owner');
select is(
    tests.error_of(format('select limena.switch_tenant(%L)', tests.tenant_id('b'))),
    'P0002 no such tenant',
    'and does not come back'
);
select is(
    tests.outcomes(
        format('select limena.switch_tenant(%L)', tests.tenant_id('a')), '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 42501, viewer 1, member 1, admin 1, owner 1, key 42501',
    'for everyone with a session; a key is of one tenant'
);
select tests.leave();

-- A deleted one is none.
reset role;
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'admin'), 'viewer');
update limena.tenants set state = 'deleted'
where id = tests.tenant_id('b');
set local role limena_app;
select tests.enter_as('a', 'admin');
select is(
    tests.error_of(format('select limena.switch_tenant(%L)', tests.tenant_id('b'))),
    'P0002 no such tenant', 'a tenant of theirs that is deleted is none'
);
reset role;
update limena.tenants set state = 'active'
where id = tests.tenant_id('b');
set local role limena_app;
select tests.leave();

-- It opens nothing by itself.
select is(
    tests.outcome(format('select tests.enter_as(%L, %L)', 'b', 'owner')), '1', '(b''s owner enters b)'
);
select is(
    tests.outcome(
        format('select limena.enter_session(%L, %L)', tests.session_hash('a', 'viewer'), tests.tenant_id('b'))
    ),
    '28000',
    'a viewer of a does not, wherever the session stands'
);
set local role limena_auth;
select is(tests.outcome('select limena.switch_tenant(null)'), '42501', 'not for limena_auth');
set local role limena_readonly;
select is(tests.outcome('select limena.switch_tenant(null)'), '42501', 'nor for limena_readonly');

select * from finish();
rollback;
