-- limena.change_member_role(), limena.remove_member() and limena.transfer_ownership(): who may make whom what. Fails
-- without them; what two of them do at once is in api/tests/test_member_races.py.
begin;
select plan(36);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{members:write}');
select
    tests.make_api_key(
        p_tenant => 'a', p_name => 'all', p_scopes => array(select p.name from limena.permissions as p)
    );
select
    tests.make_api_key(
        p_tenant => 'a', p_name => 'of admin', p_scopes => '{members:write, tenant:own}', p_creator => 'admin'
    );
create temporary table logged as select l.id from limena.audit_logs as l;
create function pg_temp.changing(p_who text, p_role text)
returns text
language sql
as $$ select format('select limena.change_member_role(%L, %L)', tests.user_id('a', p_who), p_role) $$;
create function pg_temp.removing(p_who text, p_tenant text default 'a')
returns text
language sql
as $$ select format('select limena.remove_member(%L)', tests.user_id(p_tenant, p_who)) $$;

-- Roles: the caller's × the member's × the new one. There is one owner: lowering them is a conflict for whoever may.
set local role limena_app;
select is(tests.outcomes(pg_temp.changing(c.who, c.role)), c.expected, format('a %s becomes %s', c.who, c.role))
from (
    values
    ('viewer', 'member', 'nobody 42501, viewer 42501, member 42501, admin 1, owner 1'),
    ('viewer', 'admin', 'nobody 42501, viewer 42501, member 42501, admin 1, owner 1'),
    ('viewer', 'owner', 'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1'),
    ('admin', 'viewer', 'nobody 42501, viewer 42501, member 42501, admin 1, owner 1'),
    ('admin', 'owner', 'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1'),
    ('owner', 'admin', 'nobody 42501, viewer 42501, member 42501, admin 42501, owner LM002'),
    ('owner', 'owner', 'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1')
) as c (who, role, expected);
select
    is(
        tests.outcomes(pg_temp.changing('viewer', c.role), '{writer, all, of admin}'), c.expected,
        'keys: a viewer becomes ' || c.role
    )
from (
    values
    ('viewer', 'writer 1, all 1, of admin 1'),
    ('member', 'writer 42501, all 1, of admin 42501'),
    ('owner', 'writer 42501, all 1, of admin 42501')
) as c (role, expected);
select tests.enter_as('a', 'admin');
select is(
    tests.error_of(pg_temp.changing('viewer', 'owner')), '42501 permission denied; detail tenant:own',
    'it says what is missing for an owner'
);
select tests.enter_with_key('a', 'writer');
select is(
    tests.error_of(pg_temp.changing('viewer', 'member')), '42501 permission denied; detail ai:use',
    'and for what a key would give without having it'
);
select tests.enter_as('a', 'owner');
select
    is(
        tests.error_of(format('select limena.change_member_role(%L, %L)', c.id, c.role)), c.error, c.description
    )
from (
    values
    (tests.user_id('b', 'viewer'), 'member', 'P0002 no such member', 'a person of another tenant'),
    (tests.id('x', 'x'), 'member', 'P0002 no such member', 'nobody'),
    (null, 'member', 'P0002 no such member', 'NULL'),
    (tests.user_id('a', 'viewer'), 'king', '22023 there is no such role; column role', 'no role'),
    (tests.user_id('a', 'viewer'), null, '22023 there is no such role; column role', 'NULL as a role')
) as c (id, role, error, description);

-- Leaving, and being shown out.
select is(tests.outcomes(pg_temp.removing(c.who)), c.expected, 'a ' || c.who || ' goes')
from (
    values
    ('viewer', 'nobody 42501, viewer 1, member 42501, admin 1, owner 1'),
    ('member', 'nobody 42501, viewer 42501, member 1, admin 1, owner 1'),
    ('admin', 'nobody 42501, viewer 42501, member 42501, admin 1, owner 1'),
    ('owner', 'nobody 42501, viewer 42501, member 42501, admin 42501, owner LM002')
) as c (who, expected);
select is(
    tests.outcomes(pg_temp.removing('viewer'), '{writer, of admin}'), 'writer 1, of admin 1', 'a key shows a viewer out'
);
select is(
    tests.outcomes(pg_temp.removing('owner'), '{writer, of admin, all}'), 'writer 42501, of admin 42501, all LM002',
    'an owner only with tenant:own: a key does not leave in its creator''s name'
);
select is(
    tests.outcomes(pg_temp.removing('viewer', 'b')),
    'nobody 42501, viewer 42501, member 42501, admin P0002, owner P0002',
    'people of another tenant are not there'
);
select is(
    tests.outcome(format('select limena.remove_member(%L, %L)', tests.user_id('a', 'viewer'), 'keep')), '22023',
    'their keys are revoked or transferred'
);

-- Ownership.
select is(
    tests.outcomes(
        format('select limena.transfer_ownership(%L)', tests.user_id('a', 'viewer')),
        '{nobody, viewer, member, admin, owner, writer, of admin, all}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1, writer 42501, of admin 42501, all 1',
    'an owner passes it on'
);
select
    is(
        tests.outcomes(format('select limena.transfer_ownership(%L)', t.id), '{admin, owner}'),
        'admin 42501, owner ' || t.expected, 'to ' || t.name
    )
from (
    values
    (tests.user_id('a', 'owner'), '22023', 'nobody but oneself'),
    (tests.user_id('b', 'viewer'), 'P0002', 'another tenant''s')
) as t (id, expected, name);

-- What it leaves behind.
select tests.enter_as('a', 'owner');
select limena.transfer_ownership(tests.user_id('a', 'admin'));
reset role;
select results_eq(
    $$select m.user_id, m.role::text from limena.memberships as m
    where m.tenant_id = tests.tenant_id('a') and m.role >= 'admin' order by m.role$$,
    $$values (tests.user_id('a', 'owner'), 'admin'), (tests.user_id('a', 'admin'), 'owner')$$,
    'they have changed places'
);
select results_eq(
    $$select l.action, l.entity_id, l.changes -> 'role', l.actor_label
    from limena.audit_logs as l
    where l.id not in (select g.id from logged as g) order by l.seq$$,
    $$values
    ('membership.role_changed', tests.user_id('a', 'admin')::text, '["admin", "owner"]'::jsonb, 'owner@a.example'),
    ('membership.role_changed', tests.user_id('a', 'owner')::text, '["owner", "admin"]'::jsonb, 'owner@a.example')$$,
    'and the log tells'
);

-- Whoever goes takes their keys with them, and has no way in left behind.
insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
select
    tests.tenant_id('a'),
    i.name || '@x.example',
    'viewer',
    sha256(i.name::bytea),
    tests.user_id('a', i.name)
from (values ('owner'), ('admin')) as i (name);
select tests.make_api_key(p_tenant => 'a', p_name => 'own', p_scopes => '{tenant:own}', p_creator => 'admin');
select tests.make_api_key(
    p_tenant => 'a', p_name => 'remover', p_scopes => '{members:write, members:read}', p_creator => 'admin'
);
set local role limena_app;
select is(
    tests.outcomes(
        format('select limena.transfer_ownership(%L)', tests.user_id('a', 'viewer')), '{own}'
    ),
    'own 42501', 'a key with tenant:own alone makes no owner'
);
select tests.enter_with_key('a', 'remover');
select is(
    tests.error_of(format('select limena.remove_member(%L, %L)', tests.user_id('a', 'viewer'), 'transfer')),
    '42501 permission denied; detail api_keys:write', 'keys pass on by whoever may make keys'
);
select tests.enter_as('a', 'owner');
select is(
    tests.error_of(format('select limena.remove_member(%L, %L)', tests.user_id('a', 'owner'), 'transfer')),
    '22023 must be revoke where one goes oneself; column api_keys', 'and not by whoever leaves'
);
reset role;

-- Keys of someone who goes.
select is(
    (
        select string_agg(k.name, ', ' order by k.name) from limena.api_keys as k
        where k.created_by = tests.user_id('a', 'admin')
    ),
    'of admin, own, remover', 'someone has a key'
);
set local role limena_app;
select tests.enter_as('a', 'admin');
select is(
    tests.outcome(format('select limena.remove_member(%L, %L)', tests.user_id('a', 'owner'), 'transfer')), '1',
    'the former owner goes, and their keys pass on'
);
select limena.remove_member(tests.user_id('a', 'owner'));
reset role;
select results_eq(
    $$select i.email from limena.invitations as i where i.withdrawn_at is null$$,
    array['admin@x.example'],
    'and the invitations are withdrawn that they had made'
);

select * from finish();
rollback;
