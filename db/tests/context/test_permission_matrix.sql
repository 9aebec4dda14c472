-- limena.permission_matrix, pair by pair: what the interface promises to each role. Fails without the rows of
-- db/schema/0002_permissions.sql, and with one more.
begin;
select plan(17);

select results_eq(
    'select m.role, m.permission from limena.permission_matrix as m',
    $$values
    ('viewer', 'ai:read'),
    ('viewer', 'integrations:read'),
    ('viewer', 'members:read'),
    ('viewer', 'tenant:read'),
    ('member', 'ai:read'),
    ('member', 'ai:use'),
    ('member', 'integrations:read'),
    ('member', 'integrations:use'),
    ('member', 'members:read'),
    ('member', 'tenant:read'),
    ('admin', 'ai:read'),
    ('admin', 'ai:use'),
    ('admin', 'ai:write'),
    ('admin', 'api_keys:read'),
    ('admin', 'api_keys:write'),
    ('admin', 'audit:export'),
    ('admin', 'audit:read'),
    ('admin', 'integrations:read'),
    ('admin', 'integrations:use'),
    ('admin', 'integrations:write'),
    ('admin', 'invitations:read'),
    ('admin', 'invitations:write'),
    ('admin', 'members:read'),
    ('admin', 'members:write'),
    ('admin', 'tenant:read'),
    ('admin', 'tenant:write'),
    ('owner', 'ai:read'),
    ('owner', 'ai:use'),
    ('owner', 'ai:write'),
    ('owner', 'api_keys:read'),
    ('owner', 'api_keys:write'),
    ('owner', 'audit:export'),
    ('owner', 'audit:read'),
    ('owner', 'integrations:read'),
    ('owner', 'integrations:use'),
    ('owner', 'integrations:write'),
    ('owner', 'invitations:read'),
    ('owner', 'invitations:write'),
    ('owner', 'members:read'),
    ('owner', 'members:write'),
    ('owner', 'tenant:own'),
    ('owner', 'tenant:read'),
    ('owner', 'tenant:write')$$,
    'who may what, and nothing else'
);
select results_eq(
    'select p.name from limena.permissions as p order by p.name',
    $$values
    ('ai:read'), ('ai:use'), ('ai:write'), ('api_keys:read'), ('api_keys:write'), ('audit:export'), ('audit:read'),
    ('integrations:read'), ('integrations:use'), ('integrations:write'), ('invitations:read'), ('invitations:write'),
    ('members:read'), ('members:write'), ('tenant:own'), ('tenant:read'), ('tenant:write')$$,
    'exactly these permissions'
);
select results_eq(
    'select r.role::text from unnest(enum_range(null::limena.member_role)) as r (role) order by r.role',
    array['viewer', 'member', 'admin', 'owner'], 'the roles rise from viewer to owner'
);
select is_empty(
    $$select m.permission from limena.permission_matrix as m
    where coalesce(m.description, '') = ''$$, 'each has a description'
);

-- Whoever logs in may look.
set local role limena_app;
select is(tests.outcome('table limena.permission_matrix'), '43', 'limena_app sees them all');
set local role limena_auth;
select is(tests.outcome('table limena.permission_matrix'), '43', 'and limena_auth');
set local role limena_readonly;
select is(tests.outcome('table limena.permission_matrix'), '43', 'and limena_readonly');
set local role limena_maintenance;
select is(tests.outcome('table limena.permission_matrix'), '43', 'and limena_maintenance');
select is(
    tests.outcome($$insert into limena.permission_matrix (role, permission) values ('viewer', 'tenant:own')$$), '55000',
    'nobody writes through it'
);

-- What may be a permission, whoever writes.
reset role;
select
    throws_ok(
        format('insert into limena.permissions (name, description) values (%L, ''x'')', w.name), '23514', null,
        format('%L is no name for a permission', w.name)
    )
from (
    values (''),
    ('tenant'),
    ('tenant:'),
    (':read'),
    ('Tenant:read'),
    ('tenant:re ad'),
    ('a:b:c'),
    (repeat('a', 62) || ':b')
) as w (name);

select * from finish();
rollback;
