-- Attack: arbitrary SQL as any of the four roles that log in, without any credential.
-- It would work without: row-level security on a table, a policy that asks for the context, the column grants, or if
-- current_tenant_id() returned anything but NULL where there is no context.
begin;
select plan(27);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
-- A key that was never used has no row among the uses: room for an attacker to put one.
delete from limena.api_key_uses
where tenant_id = tests.tenant_id('b');
insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
values (tests.tenant_id('b'), 'guest@b.example', 'member', sha256('token of b'), tests.user_id('b', 'owner'));

select tests.make_integration(p_tenant => 'b');

-- An attack that finds nothing proves nothing unless there is something.
select ok(tests.loot() ~ (r.name || ' [1-9]'), r.name || ' has rows to steal')
from (
    values ('tenants'),
    ('users'),
    ('memberships'),
    ('invitations'),
    ('sessions'),
    ('session_uses'),
    ('api_keys'),
    ('api_key_uses'),
    ('integrations'),
    ('integration_credentials'),
    ('audit_logs')
) as r (name);

set local session authorization limena_app;
select is(session_user::text, 'limena_app', 'the attacker has logged in as limena_app');
select is(tests.loot(), '', 'limena_app sees no row of any relation');
select is(tests.harm(), '', 'and changes none');
select is(limena.current_tenant_id(), null, 'it is in no tenant');
select is(limena.current_context(), null, 'it is nobody');
select is(limena.current_permissions(), '{}', 'and may do nothing');
select is(tests.error_of('select limena.get_me()'), '42501 permission denied', 'so the procedures say');
select
    is(
        tests.error_of('select limena.list_api_keys()'), '42501 permission denied; detail api_keys:read', 'each of them'
    );

set local session authorization limena_auth;
select is(tests.loot(), '', 'limena_auth sees no row of any relation');
select is(tests.harm(), '', 'and changes none');
select is(
    array(
        select c.relname::text
        from pg_class as c
        where
            c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
            and (
                has_table_privilege(c.oid, 'select, insert, update, delete, truncate, references, trigger')
                or has_any_column_privilege(c.oid, 'select, insert, update, references')
            )
            and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and c.relname not in ('permissions', 'role_permissions', 'permission_matrix', 'audit_actions')
    ),
    '{}',
    'and has no right on any table but those that say what a permission and an event is'
);

set local session authorization limena_readonly;
select is(tests.loot(), '', 'limena_readonly sees no row of any relation before it has declared access');
select is(tests.harm(), '', 'and changes none');

set local session authorization limena_maintenance;
select is(tests.loot(), '', 'limena_maintenance sees no row of any relation');
select is(tests.harm(), '', 'and changes none');

-- Nobody enters but limena_app.
set local session authorization postgres;
select is(
    array(
        select r.name || ' ' || f.signature
        from unnest('{limena_auth, limena_readonly, limena_maintenance}'::text[]) as r (name)
        cross join
            unnest(array[
                'limena.enter_session(bytea, uuid, text, inet, text)',
                'limena.enter_api_key(bytea, text, inet, text, uuid)',
                'limena.current_context()', 'limena.record_denial(text, text)'
            ]) as f (signature)
        where has_function_privilege(r.name, f.signature, 'execute')
    ),
    '{}',
    'no other role can enter a context'
);

select * from finish();
rollback;
