-- Roles inside a tenant, permissions, and which role has which. The only definition: limena.has_permission(), the
-- policies, the scopes of API keys and the OpenAPI document all come from here.

-- In ascending order, so that roles compare: 'member' < 'admin'.
create type limena.member_role as enum ('viewer', 'member', 'admin', 'owner');
comment on type limena.member_role is 'What a person is in a tenant, lowest first.';

create table limena.permissions (
    name text constraint permissions_pkey primary key
    constraint permissions_name_check check (name ~ '^[a-z][a-z_]*:[a-z][a-z_]*$' and char_length(name) <= 63),
    description text not null
);
comment on table limena.permissions is 'Every permission, which is also every scope that an API key can hold. Global.';

create table limena.role_permissions (
    role limena.member_role not null,
    permission text not null
    constraint role_permissions_permission_fkey references limena.permissions (name),
    constraint role_permissions_pkey primary key (role, permission)
);
comment on table limena.role_permissions is 'Which role has which permission: one row a pair, nothing implied. Global.';

insert into limena.permissions (name, description) values
('tenant:read', 'See the tenant and its settings'),
('tenant:write', 'Change the tenant''s name and settings'),
(
    'tenant:own',
    'What is the owner''s alone: delete or transfer the tenant, raise someone to owner, lower AI limits, reset a trip'
),
('members:read', 'See who belongs to the tenant'),
('members:write', 'Change roles and remove members'),
('invitations:read', 'See open invitations'),
('invitations:write', 'Invite people and withdraw invitations'),
('api_keys:read', 'See API keys (never the keys themselves)'),
('api_keys:write', 'Create, rotate and revoke API keys'),
('integrations:read', 'See connected integrations (never their secrets)'),
('integrations:write', 'Connect and disconnect integrations'),
('integrations:use', 'Obtain an access token of a connected integration'),
('audit:read', 'Read the audit log'),
('audit:export', 'Export the audit log'),
('ai:read', 'See AI quota and usage'),
('ai:use', 'Reserve and settle AI calls'),
('ai:write', 'Change AI settings');

insert into limena.role_permissions (role, permission)
select
    r.role,
    p.name
from (
    values
    ('viewer'::limena.member_role, array['tenant:read', 'members:read', 'integrations:read', 'ai:read']),
    ('member', array['ai:use', 'integrations:use']),
    (
        'admin',
        array[
            'tenant:write', 'members:write', 'invitations:read', 'invitations:write', 'api_keys:read', 'api_keys:write',
            'integrations:write', 'audit:read', 'audit:export', 'ai:write'
        ]
    ),
    ('owner', array['tenant:own'])
) as added (role, permissions)
inner join lateral unnest(added.permissions) as p (name) on true
-- Each role has what the roles below it have.
inner join unnest(enum_range(null::limena.member_role)) as r (role) on added.role <= r.role;
