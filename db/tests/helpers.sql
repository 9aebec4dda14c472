-- For pgTAP alone: two tenants, `a` and `b`, each with an owner, an admin, a member and a viewer, and ways to become
-- one of them. Loaded by a superuser into a schema of its own, which no deployment has. Ids follow from names, so that
-- a test can say them before they exist.

drop schema if exists tests cascade;
create schema tests;
grant usage on schema tests to public;

create function tests.id(p_kind text, p_name text)
returns uuid
language sql
immutable
as $$ select md5('limena tests: ' || p_kind || ' ' || p_name)::uuid $$;

create function tests.tenant_id(p_tenant text)
returns uuid
language sql
immutable
as $$ select tests.id('tenant', p_tenant) $$;

create function tests.user_id(p_tenant text, p_role text)
returns uuid
language sql
immutable
as $$ select tests.id('user', p_tenant || ' ' || p_role) $$;

create function tests.api_key_id(p_tenant text, p_name text default 'key')
returns uuid
language sql
immutable
as $$ select tests.id('api key', p_tenant || ' ' || p_name) $$;

-- What a client would show: the secrets behind the hashes below.
create function tests.session_hash(p_tenant text, p_role text)
returns bytea
language sql
immutable
as $$ select sha256(convert_to('session ' || p_tenant || ' ' || p_role, 'UTF8')) $$;

create function tests.key_hash(p_tenant text, p_name text default 'key')
returns bytea
language sql
immutable
as $$ select sha256(convert_to('key ' || p_tenant || ' ' || p_name, 'UTF8')) $$;

-- By the owner of the tables, outside of row-level security: a test of the rules must not depend on them for its
-- fixture.
create function tests.make_tenants()
returns void
language plpgsql
as $$
declare
    v_tenant text;
    v_role text;
begin
    foreach v_tenant in array array['a', 'b'] loop
        insert into limena.tenants (id, name) values (tests.tenant_id(v_tenant), 'Tenant ' || v_tenant);
        foreach v_role in array enum_range(null::limena.member_role)::text[] loop
            insert into limena.users (id, email, display_name, password_hash)
            values (
                tests.user_id(v_tenant, v_role), v_role || '@' || v_tenant || '.example', v_role || ' of ' || v_tenant,
                '$2b$04$' || repeat('.', 53)
            );
            insert into limena.memberships (tenant_id, user_id, role)
            values (tests.tenant_id(v_tenant), tests.user_id(v_tenant, v_role), v_role::limena.member_role);
            insert into limena.sessions (id, user_id, secret_hash, current_tenant_id)
            values (
                tests.id('session', v_tenant || ' ' || v_role), tests.user_id(v_tenant, v_role),
                tests.session_hash(v_tenant, v_role), tests.tenant_id(v_tenant)
            );
            insert into limena.session_uses (session_id) values (tests.id('session', v_tenant || ' ' || v_role));
        end loop;
    end loop;
end;
$$;

create function tests.make_api_key(
    p_tenant text,
    p_name text default 'key',
    p_scopes text [] default '{api_keys:read, api_keys:write}',
    p_creator text default 'owner'
)
returns void
language plpgsql
as $$
begin
    insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by)
    values (
        tests.tenant_id(p_tenant), tests.api_key_id(p_tenant, p_name), p_name, 'lmn_tests0', '0000', p_scopes,
        tests.key_hash(p_tenant, p_name), tests.user_id(p_tenant, p_creator)
    );
    insert into limena.api_key_uses (tenant_id, api_key_id)
    values (tests.tenant_id(p_tenant), tests.api_key_id(p_tenant, p_name));
end;
$$;

-- The real ways in. To be called as limena_app: `set local role limena_app` comes first.
create function tests.enter_as(p_tenant text, p_role text default 'owner')
returns boolean
language plpgsql
as $$
begin
    return limena.enter_session(tests.session_hash(p_tenant, p_role), tests.tenant_id(p_tenant));
end;
$$;

create function tests.enter_with_key(p_tenant text, p_name text default 'key')
returns boolean
language plpgsql
as $$
begin
    return limena.enter_api_key(tests.key_hash(p_tenant, p_name));
end;
$$;

create function tests.leave()
returns void
language plpgsql
as $$
begin
    perform
        set_config('app.current_tenant_id', '', true),
        set_config('app.context', '', true),
        set_config('app.seal', '', true);
end;
$$;

-- What a statement comes to for whoever runs it here and now: the number of rows, or the SQLSTATE. It leaves nothing
-- behind.
create function tests.outcome(p_statement text)
returns text
language plpgsql
as $$
declare
    v_rows bigint;
begin
    begin
        execute p_statement;
        get diagnostics v_rows = row_count;
        raise exception '%', v_rows using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
        when others then return sqlstate;
    end;
end;
$$;

-- The same for several actors, each of whom enters tenant a anew: 'nobody 0, viewer 0, admin 2'. An actor is `nobody`,
-- a role, or the name of an API key that make_api_key() made.
create function tests.outcomes(p_statement text, p_actors text [] default '{nobody, viewer, member, admin, owner}')
returns text
language plpgsql
as $$
declare
    v_actor text;
    v_outcome text;
    v_outcomes text[] := '{}';
begin
    foreach v_actor in array p_actors loop
        begin
            if v_actor = any (enum_range(null::limena.member_role)::text[]) then
                perform tests.enter_as('a', v_actor);
            elsif v_actor <> 'nobody' then
                perform tests.enter_with_key('a', v_actor);
            end if;
            v_outcome := tests.outcome(p_statement);
            raise exception '%', v_outcome using errcode = 'TS000';
        exception
            when sqlstate 'TS000' then v_outcomes := v_outcomes || (v_actor || ' ' || sqlerrm);
        end;
    end loop;
    return array_to_string(v_outcomes, ', ');
end;
$$;

-- All of a table's policies, for results_eq(): one line a policy.
create function tests.policies_of(p_table regclass)
returns setof text
language sql
stable
as $$
select
    p.polname
    || ': '
    || (jsonb_build_object('r', 'select', 'a', 'insert', 'w', 'update', 'd', 'delete', '*', 'all') ->> p.polcmd::text)
    || ' to '
    || (
        select string_agg(coalesce(r.rolname, 'public'), ', ' order by r.rolname)
        from unnest(p.polroles) as o (oid)
        left join pg_roles as r on o.oid = r.oid
    )
    || case when p.polpermissive then '' else ', restrictive' end
from pg_policy as p
where p.polrelid = p_table
order by p.polname collate "C"
$$;

-- All that is granted on a table to anyone but its owner: one line a role and privilege, with the columns where it is a
-- column grant.
create function tests.privileges_of(p_table regclass)
returns setof text
language sql
stable
as $$
select g.line
from (
    select
        coalesce(r.rolname, 'public') || ': ' || lower(x.privilege_type) || ' on the table'
        || case when x.is_grantable then ', with grant option' else '' end as line
    from pg_class as c
    cross join aclexplode(c.relacl) as x
    left join pg_roles as r on x.grantee = r.oid
    where c.oid = p_table and x.grantee <> c.relowner
    union all
    select
        coalesce(r.rolname, 'public') || ': ' || lower(x.privilege_type)
        || ' (' || string_agg(a.attname, ', ' order by a.attnum) || ')'
        || case when x.is_grantable then ', with grant option' else '' end
    from pg_class as c
    inner join pg_attribute as a on c.oid = a.attrelid and not a.attisdropped
    cross join aclexplode(a.attacl) as x
    left join pg_roles as r on x.grantee = r.oid
    where c.oid = p_table and x.grantee <> c.relowner
    group by r.rolname, x.privilege_type, x.is_grantable
) as g
order by g.line collate "C"
$$;

-- Row-level security of a table: 'forced', 'enabled' or 'off'.
create function tests.row_security_of(p_table regclass)
returns text
language sql
stable
as $$
select
    case
        when c.relrowsecurity and c.relforcerowsecurity then 'forced' when c.relrowsecurity then 'enabled' else 'off'
    end
from pg_class as c
where c.oid = p_table
$$;
