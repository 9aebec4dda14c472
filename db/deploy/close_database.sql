-- What PUBLIC may do to the database as such, taken away. As the deployer, in each deploy, because the rights on a
-- database travel neither with a dump nor with CREATE DATABASE … TEMPLATE. Looks first: where all is closed, nothing is
-- written.
do $$
declare
    v_database pg_catalog.pg_database;
    v_public pg_catalog.pg_namespace;
    v_superuser boolean;
    v_ours oid[] := array[
        'limena_owner'::regrole,
        'limena_app'::regrole,
        'limena_auth'::regrole,
        'limena_readonly'::regrole,
        'limena_maintenance'::regrole
    ]::oid[];
    v_names text;
    v_function record;
begin
    select r.rolsuper into strict v_superuser from pg_roles as r where r.rolname = session_user;
    select d.* into strict v_database from pg_database as d where d.datname = current_database();

    -- CONNECT for the four that log in. No TEMP: a temporary table can shadow a name. No CREATE: a schema of one's own
    -- can too.
    if exists (
        select
        from aclexplode(coalesce(v_database.datacl, acldefault('d', v_database.datdba))) as a
        where a.grantee = 0 or (a.grantee = any(v_ours) and (a.privilege_type <> 'CONNECT' or a.grantee = v_ours[1]))
    ) or (
        select count(distinct a.grantee) < 4
        from aclexplode(coalesce(v_database.datacl, acldefault('d', v_database.datdba))) as a
        where a.grantee = any(v_ours[2:]) and a.privilege_type = 'CONNECT'
    ) then
        if not v_superuser and not pg_has_role(session_user, v_database.datdba, 'USAGE') then
            raise exception 'the rights on the database are too wide, and % does not own it', session_user
                using errcode = '42501', hint = 'Deploy as the owner of the database, or as a superuser.';
        end if;

        -- A product that lived here before may have relied on what goes now: name the roles, so that nobody has to
        -- guess.
        select string_agg(r.rolname, ', ' order by r.rolname) into v_names
        from pg_roles as r
        where r.rolcanlogin
            and not r.rolsuper
            and r.oid <> all(v_ours)
            and not pg_has_role(r.oid, v_database.datdba, 'USAGE')
            and has_database_privilege('public', v_database.oid, 'CONNECT')
            and not exists (
                select
                from aclexplode(v_database.datacl) as a
                where a.grantee <> 0 and a.privilege_type = 'CONNECT' and pg_has_role(r.oid, a.grantee, 'USAGE')
            );
        if v_names is not null then
            raise warning 'PUBLIC may no longer connect to %. Roles that could, and may need a grant of their own: %',
                current_database(), v_names;
        end if;

        execute format(
            'revoke all on database %I from public,'
            ' limena_owner, limena_app, limena_auth, limena_readonly, limena_maintenance',
            current_database()
        );
        execute format(
            'grant connect on database %I to limena_app, limena_auth, limena_readonly, limena_maintenance',
            current_database()
        );
    end if;

    -- Nothing of ours is in public, and nothing of anyone's is to be found there by our roles.
    select n.* into v_public from pg_namespace as n where n.nspname = 'public';
    if exists (
        select
        from aclexplode(coalesce(v_public.nspacl, acldefault('n', v_public.nspowner))) as a
        where a.grantee = 0 or a.grantee = any(v_ours)
    ) then
        if v_superuser or pg_has_role(session_user, v_public.nspowner, 'USAGE') then
            revoke all on schema public
            from public, limena_owner, limena_app, limena_auth, limena_readonly, limena_maintenance;
        elsif has_schema_privilege('public', v_public.oid, 'CREATE') then
            raise exception 'PUBLIC may create objects in the schema public, and % may not revoke it', session_user
                using errcode = '42501', hint = 'A superuser runs: revoke all on schema public from public';
        end if;
    end if;

    -- Functions that PUBLIC may call and with which SQL as limena_app reaches beyond its own transaction, whatever the
    -- policies say: other tenants' requests (same role, so it may cancel them), large objects (no row-level security,
    -- no tenant), and messages in the WAL that a logical subscriber takes for the application's. A superuser's to
    -- revoke; else limena doctor reports it.
    if v_superuser then
        for v_function in
            select p.oid::regprocedure as signature
            from pg_proc as p
            cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
            where p.pronamespace = 'pg_catalog'::regnamespace
                and p.proname in (
                    'pg_terminate_backend', 'pg_cancel_backend',
                    'lo_creat', 'lo_create', 'lo_from_bytea',
                    'pg_logical_emit_message'
                )
                and a.grantee = 0
        loop
            execute format('revoke execute on function %s from public', v_function.signature);
        end loop;
    end if;
end;
$$;
