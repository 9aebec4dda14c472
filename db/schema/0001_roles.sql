-- The five roles, the two schemas, deny-first defaults, and the ledger of `limena deploy`.
--
-- The only schema file that runs as the deployer: a superuser, or a role with CREATEROLE that owns the database. Every
-- file after it runs as limena_owner. Roles belong to the server, not to the database: those that another database's
-- Limena has made are taken over if they are harmless, and refused by name if they are not. What the deployer may not
-- repair is refused, never ignored. No role gets a password here: a secret has no place in SQL text. What PUBLIC loses
-- on the database is in db/deploy/close_database.sql, because those rights do not travel with a dump and have to be
-- looked at again in each deploy.

do $$
declare
    v_wanted record;
    v_role pg_catalog.pg_roles;
    v_change text;
    v_names text;
begin
    -- A server may be set to make every CREATEROLE role an inheriting member of what it creates. Not of these.
    if current_setting('server_version_num')::integer >= 160000 then
        perform set_config('createrole_self_grant', '', true);
    end if;

    for v_wanted in
        select w.name, w.can_login, w.purpose
        from (values
            ('limena_owner', false, 'owns every object of Limena; no LOGIN role may inherit from it'),
            ('limena_app', true, 'the API: enters a tenant by proof and works under row-level security'),
            ('limena_auth', true, 'the procedures that come before a tenant is known; touches no table'),
            ('limena_readonly', true, 'operators: reads across tenants once access has been declared'),
            ('limena_maintenance', true, 'named, audited maintenance procedures')
        ) as w (name, can_login, purpose)
    loop
        if not exists (select from pg_roles as r where r.rolname = v_wanted.name) then
            begin
                execute format(
                    'create role %I %s noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls',
                    v_wanted.name, case when v_wanted.can_login then 'login' else 'nologin' end
                );
                execute format('comment on role %I is %L', v_wanted.name, v_wanted.purpose);
            exception
                -- A deploy of another database of this server was faster. The role it made is checked below like any
                -- other.
                when duplicate_object or unique_violation then null;
            end;
        end if;

        select r.* into strict v_role from pg_roles as r where r.rolname = v_wanted.name;

        if v_role.rolsuper or v_role.rolbypassrls then
            raise exception 'the role % exists and is a superuser or has BYPASSRLS', v_role.rolname
                using errcode = '55000',
                hint = 'Row-level security would not bind it. Take that away, or rename a role that is not Limena''s.';
        end if;

        -- Only what differs: on PostgreSQL 15 even naming REPLICATION needs a superuser.
        v_change := concat_ws(
            ' ',
            case when v_wanted.can_login and not v_role.rolcanlogin then 'login' end,
            case when v_role.rolcanlogin and not v_wanted.can_login then 'nologin' end,
            case when v_role.rolinherit then 'noinherit' end,
            case when v_role.rolcreatedb then 'nocreatedb' end,
            case when v_role.rolcreaterole then 'nocreaterole' end,
            case when v_role.rolreplication then 'noreplication' end
        );
        if v_change <> '' then
            begin
                execute format('alter role %I %s', v_role.rolname, v_change);
            exception
                when insufficient_privilege then
                    raise exception 'the role % exists, and % may not alter it', v_role.rolname, session_user
                        using errcode = '42501',
                        hint = format('A superuser runs: alter role %I %s', v_role.rolname, v_change);
            end;
        end if;

        -- pg_read_all_data in front of limena_app would be the end of every promise.
        select string_agg(m.roleid::regrole::text, ', ' order by m.roleid::regrole::text) into v_names
        from pg_auth_members as m
        where m.member = v_role.oid;
        if v_names is not null then
            raise exception 'the role % exists and is a member of %', v_role.rolname, v_names
                using errcode = '55000',
                hint = 'A role of Limena is a member of nothing. Revoke that, or rename a role that is not Limena''s.';
        end if;
    end loop;

    -- Whoever inherits from limena_owner passes the policies that name it. Superusers pass everything anyway.
    -- (to_jsonb, because inherit_option is a column of 16 and later; before, inheriting is a property of the member.)
    select string_agg(r.rolname, ', ' order by r.rolname) into v_names
    from pg_auth_members as m
    inner join pg_roles as r on r.oid = m.member
    where m.roleid = 'limena_owner'::regrole
        and coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit)
        and not r.rolsuper;
    if v_names is not null then
        raise exception 'limena_owner has members that inherit from it: %', v_names
            using errcode = '55000',
            hint = 'Whoever inherits from limena_owner sees every tenant: revoke those memberships.';
    end if;
end;
$$;

-- To make something in the owner's name, the deployer has to be a member. 16 and later have a membership that does not
-- inherit, and it stays. 15 has not: there db/deploy/assume_owner.sql takes it back before the next file runs.
do $$
begin
    if (select r.rolsuper from pg_roles as r where r.rolname = session_user) then
        null;
    elsif current_setting('server_version_num')::integer < 160000 then
        execute format('grant limena_owner to %I', session_user);
    elsif not pg_has_role(session_user, 'limena_owner', 'SET') then
        execute format('grant limena_owner to %I with inherit false, set true', session_user);
    end if;
exception
    when insufficient_privilege then
        raise exception '% may not act as limena_owner, which another role has made', session_user
            using errcode = '42501',
            hint = format('A superuser runs: grant limena_owner to %I with inherit false, set true', session_user);
end;
$$;

create schema limena authorization limena_owner;
create schema limena_private authorization limena_owner;

set local role limena_owner;

comment on schema limena is 'Limena: tenants, members, keys, the log, and the procedures on them';
comment on schema limena_private is 'Limena: what no role but limena_owner may reach';

-- Deny first. The global form: with IN SCHEMA it would only add to what PUBLIC has, and do nothing.
alter default privileges revoke execute on functions from public;

-- Names alone; what is behind a name is granted one by one. Nothing on limena_private, to anyone.
grant usage on schema limena to limena_app, limena_auth, limena_readonly, limena_maintenance;

create table limena_private.deployed_files (
    path text not null, -- noqa: RF04
    sha256 text not null,
    deployed_at timestamptz not null default now(),
    deployed_by text not null default session_user,
    constraint deployed_files_pkey primary key (path),
    constraint deployed_files_sha256_check check (sha256 ~ '^[0-9a-f]{64}$')
);

comment on table limena_private.deployed_files is
'The files of db/ that made this database. Only limena deploy writes it; limena.deployed_digest() sums it up.';
comment on column limena_private.deployed_files.path is 'below db/, with forward slashes';
comment on column limena_private.deployed_files.sha256 is 'of the file''s text with LF line ends, in hex';

set local role none;
