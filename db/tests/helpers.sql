-- For pgTAP alone: two tenants, `a` and `b`, each with an owner, an admin, a member and a viewer, and ways to become one of them. Loaded
-- by a superuser into a schema of its own, which no deployment has. Ids follow from names, so that a test can say them before they exist.

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

-- By the owner of the tables, outside of row-level security: a test of the rules must not depend on them for its fixture.
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
