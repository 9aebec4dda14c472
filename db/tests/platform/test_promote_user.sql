-- limena.promote_user(): only who can deploy makes an admin of the platform, and every tenant of the person is told.
-- Fails without the function.
begin;
select plan(12);

select tests.make_tenants();
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer');
create temporary table logged as select l.id from limena.audit_logs as l;

set local role limena_app;
select is(
    tests.outcomes($$select limena.promote_user('owner@a.example')$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody promotes from within'
);
set local role limena_auth;
select is(tests.outcome($$select limena.promote_user('owner@a.example')$$), '42501', 'limena_auth does not');
set local role limena_readonly;
select is(tests.outcome($$select limena.promote_user('owner@a.example')$$), '42501', 'nor limena_readonly');
set local role limena_maintenance;
select is(tests.outcome($$select limena.promote_user('owner@a.example')$$), '42501', 'nor limena_maintenance');

set local role limena_owner;
select lives_ok(
    $$select limena.promote_user(' Owner@A.Example ')$$,
    'limena_owner does, however the address is written'
);
select is(
    tests.error_of($$select limena.promote_user('nobody@a.example')$$),
    'P0002 no user has this address',
    'an unknown address is told'
);
select is(tests.error_of($$select limena.promote_user('%')$$), 'P0002 no user has this address', 'it is no pattern');
select is(
    tests.error_of('select limena.promote_user(null)'),
    'P0002 no user has this address',
    'nor is NULL everybody'
);
select lives_ok($$select limena.promote_user('owner@a.example')$$, 'twice is no error');

reset role;
select results_eq(
    'select u.email from limena.users as u where u.is_platform_admin',
    array['owner@a.example'],
    'one person was promoted'
);
select results_eq(
    $$select t.name, l.action, l.actor_type, l.actor_label, l.changes
    from limena.audit_logs as l
    inner join limena.tenants as t on l.tenant_id = t.id
    where l.id not in (select g.id from logged as g)
    order by t.name$$,
    format(
        $$values
        ('Tenant a', 'user.platform_admin_changed', 'system', %1$L, '{"is_platform_admin": [false, true]}'::jsonb),
        ('Tenant b', 'user.platform_admin_changed', 'system', %1$L, '{"is_platform_admin": [false, true]}'::jsonb)$$,
        session_user
    ),
    'each tenant of theirs is told once, and the log names the login that did it'
);

-- It opens nothing inside a tenant.
set local role limena_app;
select limena.enter_session(tests.session_hash('a', 'owner'), tests.tenant_id('b'));
select is(
    limena.current_permissions(),
    '{ai:read, integrations:read, members:read, tenant:read}',
    'an admin of the platform is in a tenant what they were'
);

select * from finish();
rollback;
