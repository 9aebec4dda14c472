-- Attack: as limena_app, say who one would like to be: each parameter of the context alone, all combinations, a genuine
-- context with one thing changed, a genuine seal changed in form.
-- It would work without: the seal (verified_context() believing what it reads), or a seal that leaves out the tenant or
-- any part of the context.
begin;
select plan(73);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
delete from limena.api_key_uses
where tenant_id = tests.tenant_id('b');

-- What the attacker can know of the form: this is their own context, of tenant a, as a viewer.
set local session authorization limena_app;
select tests.enter_as('a', 'viewer');
select set_config('attack.tenant_id', current_setting('app.current_tenant_id'), true);
select set_config('attack.context', current_setting('app.context'), true);
select set_config('attack.seal', current_setting('app.seal'), true);
select is(tests.plunder(null, null, null, 'a'), '', 'a viewer of a, as they are: nothing of b');
select is(tests.outcome('select from limena.tenants'), '1', 'and their own tenant is there');
select is(tests.outcome('select from limena.memberships'), '4', 'and its members');

-- 1. Without a context, every combination of parameters.
select tests.leave();
select
    is(
        tests.plunder(t.value, c.value, s.value),
        '',
        format('forged: tenant %s, context %s, seal %s', t.name, c.name, s.name)
    )
from (values ('none', ''), ('b', tests.tenant_id('b')::text), ('bad', 'no uuid')) as t (name, value)
cross join (
    values
    ('none', ''),
    (
        'owner of b',
        replace(
            replace(current_setting('attack.context'), tests.tenant_id('a')::text, tests.tenant_id('b')::text),
            '"viewer"',
            '"owner"'
        )
    ),
    ('bad', '{')
) as c (name, value)
cross join (
    values ('none', ''), ('copied', current_setting('attack.seal')), ('zeros', repeat('0', 64)), ('bad', E'\x01\'";--')
) as s (name, value);
select is(limena.current_context(), null, 'each of them was put back');

-- The one combination that is genuine works: what was refused above was refused for what it was.
select ok(
    tests.plunder(
        current_setting('attack.tenant_id'), current_setting('attack.context'), current_setting('attack.seal')
    )
    ~ 'memberships 4',
    'the genuine one opens tenant a'
);

-- 2. The genuine context of a viewer of a, with one thing changed.
select tests.enter_as('a', 'viewer');
select is(tests.plunder(tests.tenant_id('b')::text, null, null, 'a'), '', 'altered: the tenant is b');
select is(tests.plunder('', null, null, 'a'), '', 'altered: there is no tenant');
select
    is(
        tests.plunder(upper(current_setting('attack.tenant_id')), null, null, null),
        '',
        'altered: the tenant in capitals'
    );
select is(
    tests.plunder('00000000-0000-4000-8000-000000000000', null, null, 'a'), '', 'altered: the tenant is the platform''s'
);
select is(tests.plunder(null, c.value, null), '', 'altered: ' || c.name)
from (
    select current_setting('attack.context')::jsonb as genuine
) as g
cross join lateral (
    values
    ('the role', (g.genuine || '{"role": "owner"}')::text),
    ('the permissions', (g.genuine || '{"permissions": ["tenant:own", "api_keys:write", "audit:read"]}')::text),
    ('the tenant', (g.genuine || jsonb_build_object('tenant_id', tests.tenant_id('b')))::text),
    ('the actor', (g.genuine || jsonb_build_object('actor_id', tests.user_id('b', 'owner')))::text),
    (
        'the actor''s kind',
        (g.genuine || jsonb_build_object('actor_type', 'api_key', 'actor_id', tests.api_key_id('b')))::text
    ),
    ('the actor''s name', (g.genuine || '{"actor_label": "owner@b.example"}')::text),
    ('the person', (g.genuine || jsonb_build_object('user_id', tests.user_id('b', 'owner')))::text),
    ('the session', (g.genuine || '{"session_id": null}')::text),
    ('a permission twice', replace(g.genuine::text, '"role": "viewer"', '"role": "viewer", "role": "owner"')),
    (
        'a second list of permissions',
        rtrim(g.genuine::text, '}')
        || format(', "permissions": ["tenant:own"], "tenant_id": "%s"}', tests.tenant_id('b'))
    ),
    ('one space more', g.genuine::text || ' '),
    ('an empty object', '{}'),
    ('an array', '[]'),
    ('null', 'null'),
    ('nothing', ''),
    ('a megabyte', repeat('x', 1000000))
) as c (name, value);
select is(tests.plunder(null, null, s.value), '', 'the seal ' || s.name)
from (
    values
    ('without its last character', left(current_setting('attack.seal'), -1)),
    ('without its first', right(current_setting('attack.seal'), -1)),
    ('in capitals', upper(current_setting('attack.seal'))),
    ('with a space before', ' ' || current_setting('attack.seal')),
    ('with a space after', current_setting('attack.seal') || ' '),
    ('with a line end', current_setting('attack.seal') || E'\n'),
    ('as bytea', '\x' || current_setting('attack.seal')),
    ('twice', repeat(current_setting('attack.seal'), 2)),
    ('as a megabyte', repeat('0', 1000000)),
    ('missing', '')
) as s (name, value);

-- 3. Two genuine ones mixed: the attacker is in both tenants, as an owner of a and a viewer of b.
select tests.enter_as('b', 'viewer');
select is(
    tests.plunder(null, current_setting('attack.context'), null, 'b'),
    '',
    'mixed: tenant and seal of b with the context of a'
);
select
    is(
        tests.plunder(null, null, current_setting('attack.seal'), 'b'),
        '',
        'mixed: tenant and context of b with the seal of a'
    );

select * from finish();
rollback;
