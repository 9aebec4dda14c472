-- A frozen tenant: everything that changes something is withheld, at once and for every way in; reading goes on, and so
-- do the few exceptions. Fails without the withholding in limena_private.seal_context(), freeze_tenant() and
-- unfreeze_tenant().
begin;
select plan(48);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'key', p_scopes => '{api_keys:read, api_keys:write}');
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{api_keys:write}');
select tests.make_api_key(p_tenant => 'b');
create temporary table logged as select l.id from limena.audit_logs as l;
create function pg_temp.added(p_tenant text)
returns setof text
language sql
as $$
select concat_ws(' ', l.action, l.actor_type, l.actor_label, l.details ->> 'reason', l.changes -> 'state')
from limena.audit_logs as l
where l.tenant_id = tests.tenant_id(p_tenant) and l.id not in (select g.id from logged as g)
order by l.seq
$$;

-- What the permissions are, so that a new one is decided upon.
select results_eq(
    $q$select tests.lines('select p.name from limena.permissions as p where p.works_when_frozen')$q$,
    array[
        'ai:read',
        'api_keys:read',
        'audit:export',
        'audit:read',
        'integrations:read',
        'invitations:read',
        'members:read',
        'tenant:read'
    ],
    'a frozen tenant keeps what reads, and nothing else'
);

-- By the platform's admins, who are in no tenant or in another one; by the deployer.
set local role limena_app;
select is(
    tests.error_of(format('select limena_private.freeze_tenant(%L, %L)', tests.tenant_id('a'), 'abuse')),
    '42501 permission denied for schema limena_private', 'nobody freezes a tenant with SQL as limena_app'
);
reset role;
set local role limena_owner;
select
    is(
        tests.error_of(format('select limena_private.freeze_tenant(%L, %L)', tests.tenant_id('a'), r.reason)),
        '22023 must say why, in 1 to 500 characters; column reason',
        'a reason is needed: ' || coalesce(left(r.reason, 5), 'NULL')
    )
from
    (
        values (null), (''), ('  '), (repeat('x', 501)), (e'\n'), (e'two\nlines'), (u&'\200B'), (u&'\00A0'), ('.')
    ) as r (reason);
select
    is(
        tests.error_of(format('select limena_private.%s_tenant(%L, %L)', f.verb, t.id, 'abuse')),
        'P0002 no such tenant', f.verb || ' ' || t.name
    )
from (values ('freeze'), ('unfreeze')) as f (verb)
cross join (values (tests.id('x', 'x'), 'none'), (limena_private.platform_tenant_id(), 'platform')) as t (id, name);
reset role;

-- In the name of an admin who has a context elsewhere: it is theirs again afterwards.
select tests.enter_as('b', 'owner');
set local role limena_owner;
select lives_ok(
    format('select limena_private.freeze_tenant(%L, %L)', tests.tenant_id('a'), 'abuse'), 'a tenant is frozen'
);
select lives_ok(
    format('select limena_private.freeze_tenant(%L, %L)', tests.tenant_id('a'), 'again'), 'twice is not an error'
);
reset role;
select is(limena.current_tenant_id(), tests.tenant_id('b'), 'the context is the one before');
select ok(limena.has_permission('tenant:own'), 'with its permissions');
select results_eq(
    $$select pg_temp.added('a')$$,
    array[
        'tenant.state_changed user owner@b.example ["active", "frozen"]', 'tenant.frozen user owner@b.example abuse'
    ],
    'the tenant''s log tells who, and why'
);
select is_empty($$select pg_temp.added('b')$$, 'the other tenant''s has no word of it');

-- Inside.
set local role limena_app;
select tests.enter_as('a', 'owner');
select is(
    limena.current_permissions(),
    '{ai:read, api_keys:read, audit:export, audit:read, integrations:read, invitations:read, members:read, tenant:read'
    '}',
    'the owner has what reads'
);
select is(
    limena.current_context() -> 'withheld',
    '["ai:use", "ai:write", "api_keys:write", "integrations:use", "integrations:write", "invitations:write",'
    ' "members:write", "tenant:own", "tenant:write"]'::jsonb,
    'the rest is withheld'
);
select is(limena.current_context() ->> 'role', 'owner', 'the role is the same');
select ok(not limena.has_permission('api_keys:write'), 'what is withheld is not held');
select is(limena.tenant_with('api_keys:write', 'members:write'), null, 'for policies neither');
select ok(
    not limena.holds(tests.tenant_id('a'), tests.user_id('a', 'owner'), '{api_keys:write}'), 'in no form'
);
select is(
    tests.error_of($$select limena.require('api_keys:write')$$), 'LM001 the tenant is frozen; detail api_keys:write',
    'and the error says why'
);
select is(tests.error_of($$select limena.require('members:read')$$), null, 'reading goes on');
select lives_ok($$select limena.record_denial('api_keys:write', 'POST /api/v1/api-keys')$$, 'the denial is on record');
select is(
    tests.error_of(
        $$select limena.create_api_key('x', '{members:read}', 'lmn_abcdef', '0000', sha256('x'))$$
    ),
    'LM001 the tenant is frozen; detail api_keys:write', 'no key is made'
);
select is(
    tests.outcome(
        $$insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by)
        values (tests.tenant_id('a'), gen_random_uuid(), 'x', 'lmn_abcdef', '0000', '{members:read}', sha256('x'),
            limena.current_user_id())$$
    ),
    '42501', 'nor by SQL of one''s own'
);
select is(
    tests.error_of($$select limena.create_invitation('x@a.example', 'viewer', sha256('x'))$$),
    'LM001 the tenant is frozen; detail invitations:write', 'nobody is invited'
);
select is(
    tests.error_of(format('select limena.revoke_api_key(%L)', tests.api_key_id('a'))),
    null,
    'a key is revoked all the same'
);
select is(tests.error_of('select limena.log_out()'), null, 'one can log out');
select
    is(
        tests.error_of(format('select limena.end_session(%L)', tests.id('session', 'a owner'))),
        null,
        'and end a session'
    );

-- Those who have less get nothing by it.
select tests.enter_as('a', 'viewer');
select is(
    tests.error_of($$select limena.require('api_keys:write')$$), '42501 permission denied; detail api_keys:write',
    'what the role never gave is not withheld'
);
select is(limena.current_context() -> 'withheld', '[]', 'a viewer has nothing to be withheld');
select is(
    tests.error_of(format('select limena.revoke_api_key(%L)', tests.api_key_id('a'))),
    '42501 permission denied; detail api_keys:write', 'a viewer revokes no key'
);
select is(
    tests.outcome('update limena.api_keys set revoked_at = clock_timestamp()'), '42501', 'in no way'
);

-- A key's scopes, too: the exception is for what it would hold.
select tests.enter_with_key('a', 'writer');
select is(limena.current_permissions(), '{}', 'a key that writes has nothing left');
select is(
    tests.error_of(format('select limena.revoke_api_key(%L)', tests.api_key_id('a'))), null, 'but can revoke a key'
);
select
    is(
        tests.error_of('select limena.list_api_keys()'),
        '42501 permission denied; detail api_keys:read',
        'not see them all'
    );

-- Attack: be the owner of a tenant that is not frozen, too, and enter it in the middle of a statement.
reset role;
insert into limena.tenants (id, name) values (tests.tenant_id('c'), 'Tenant c');
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('c'), tests.user_id('a', 'admin'), 'owner');
set local role limena_app;
select tests.enter_as('a', 'admin');
select is(
    tests.outcome(
        format(
            $$insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
            select tests.tenant_id('a'), gen_random_uuid(), 'x@a.example', 'viewer', sha256('x'), %L
            from limena.enter_session(%L, %L)$$,
            tests.user_id('a', 'admin'), tests.session_hash('a', 'admin'), tests.tenant_id('c')
        )
    ),
    '42501', 'a context of another tenant changes nothing in the frozen one'
);

-- Another tenant does not freeze with it.
select tests.enter_as('b', 'owner');
select is(tests.error_of($$select limena.require('api_keys:write')$$), null, 'another tenant is as it was');
select is(limena.tenant_even_frozen('api_keys:write'), tests.tenant_id('b'), 'in which the exception is none');

-- Thawed.
reset role;
select tests.leave();
set local role limena_owner;
select lives_ok(
    format('select limena_private.unfreeze_tenant(%L, %L)', tests.tenant_id('a'), 'over'), 'a tenant is thawed'
);
set local role limena_app;
select tests.enter_as('a', 'owner');
select is(tests.error_of($$select limena.require('api_keys:write')$$), null, 'and all is as before');

select * from finish();
rollback;
