-- From the deployer to limena_owner, for the rest of the session.
--
-- A deployer that is no superuser has to be a member of limena_owner for that. 16 and later: a member that does not
-- inherit; that may stay. 15 knows no such membership, and a LOGIN role that inherits from limena_owner passes every
-- policy that names it: so there it is granted, used and taken back within this one statement, and no other session
-- ever sees it. SET ROLE is checked when it happens, not afterwards. The way back to the deployer's own rights, and
-- forth again, is a function with a SET role clause: nothing else in SQL returns to a role that one could no longer
-- assume.
do $$
declare
    v_deployer pg_catalog.pg_roles;
begin
    select r.* into strict v_deployer from pg_roles as r where r.rolname = session_user;

    if v_deployer.rolsuper then
        perform set_config('role', 'limena_owner', false);
        return;
    end if;

    begin
        if current_setting('server_version_num')::integer >= 160000 then
            if not pg_has_role(session_user, 'limena_owner', 'SET') then
                execute format('grant limena_owner to %I with inherit false, set true', session_user);
            end if;
        elsif not pg_has_role(session_user, 'limena_owner', 'MEMBER') then
            execute format('grant limena_owner to %I', session_user);
        end if;
    exception
        when insufficient_privilege then
            raise exception '% may not act as limena_owner', session_user
                using errcode = '42501',
                hint = 'Deploy as the role that deployed first, or as a superuser.';
    end;

    if current_setting('server_version_num')::integer >= 160000 or not v_deployer.rolinherit then
        perform set_config('role', 'limena_owner', false);
    else
        create or replace function pg_temp.end_membership()
        returns void
        language plpgsql
        set search_path = pg_catalog, pg_temp
        set role = 'none'
        as $function$
        begin
            execute format('revoke limena_owner from %I', session_user);
        end;
        $function$;
        grant execute on function pg_temp.end_membership() to limena_owner;

        perform set_config('role', 'limena_owner', false);
        perform pg_temp.end_membership();
    end if;
end;
$$;
