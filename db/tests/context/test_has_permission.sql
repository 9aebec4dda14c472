-- limena.has_permission() and limena.require(): the matrix, seen by those whom it binds. Fails without either function.
begin;
select plan(25);

select tests.make_tenants();
select tests.make_api_key(
    p_tenant => 'a', p_name => 'reader', p_scopes => '{members:read, tenant:own}', p_creator => 'admin'
);
insert into limena.permissions (name, description) values ('reports:read', 'a permission that no role has');

-- Each role: true for each of its permissions and false for each of the others; require() the same.
create function pg_temp.held(p_role text)
returns text[]
language plpgsql
as $$
begin
    perform tests.enter_as('a', p_role);
    return array(select p.name from limena.permissions as p where limena.has_permission(p.name) order by p.name);
end;
$$;
create function pg_temp.required(p_role text)
returns text[]
language plpgsql
as $$
begin
    perform tests.enter_as('a', p_role);
    return array(
        select p.name
        from limena.permissions as p
        where tests.error_of(format('select limena.require(%L)', p.name)) is null
        order by p.name
    );
end;
$$;
create function pg_temp.promised(p_role text)
returns text[]
language sql
as $$
select array_agg(m.permission order by m.permission)
from limena.permission_matrix as m
where m.role = p_role
$$;
set local role limena_app;
select is(pg_temp.held(r.role), pg_temp.promised(r.role), r.role || ': has_permission() says what the matrix says')
from unnest(enum_range(null::limena.member_role)::text[]) as r (role);
select is(pg_temp.required(r.role), pg_temp.promised(r.role), r.role || ': require() lets pass what the matrix says')
from unnest(enum_range(null::limena.member_role)::text[]) as r (role);

-- A key: its scopes, as far as its creator has them.
select tests.enter_with_key('a', 'reader');
select ok(limena.has_permission('members:read'), 'a key has its scope');
select ok(not limena.has_permission('tenant:own'), 'not one that its creator lacks');
select ok(not limena.has_permission('tenant:read'), 'nor what its creator has and its scopes do not name');
select lives_ok($$select limena.require('members:read')$$, 'require() lets the scope pass');

-- What is no permission, or not the caller's.
select tests.enter_as('a', 'viewer');
select is(limena.has_permission('no:such'), false, 'what is no permission is nobody''s');
select is(limena.has_permission(''), false, 'nor is an empty one');
select is(limena.has_permission(null), false, 'nor is NULL: false, not NULL');
select is(limena.has_permission('reports:read'), false, 'a permission that no role has is nobody''s');
select is(limena.has_permission('Tenant:read'), false, 'names are as they are written');
select is(
    tests.error_of($$select limena.require('api_keys:write')$$), '42501 permission denied; detail api_keys:write',
    'the error says which permission is missing'
);
select is(
    tests.error_of($$select limena.require('no:such')$$), '42501 permission denied; detail no:such',
    'what is no permission is refused'
);
select isnt(tests.error_of('select limena.require(null)'), null, 'and so is NULL');

-- In no tenant, and in no context.
select limena.enter_session(tests.session_hash('a', 'owner'), null);
select is_empty(
    'select p.name from limena.permissions as p where limena.has_permission(p.name)',
    'in no tenant one has no permission'
);
select is(
    tests.error_of($$select limena.require('tenant:read')$$), '42501 permission denied; detail tenant:read',
    'and require() refuses'
);
select tests.leave();
select is_empty(
    'select p.name from limena.permissions as p where limena.has_permission(p.name)', 'without a context neither'
);
select is(limena.has_permission('tenant:read'), false, 'which is false and not NULL');
select is(
    tests.error_of($$select limena.require('tenant:read')$$), '42501 permission denied; detail tenant:read',
    'and require() refuses'
);

select * from finish();
rollback;
