-- Whether whoever acts through a session administers the platform: for get_me(), so that the console knows what to
-- show. It decides nothing: what an administrator may do proves the flag itself (open_access_as, administer_tenant).
--
-- SECURITY DEFINER because no role of the API may read limena.users.
create or replace function limena.is_platform_admin()
returns boolean
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (select u.is_platform_admin from limena.users as u where u.id = limena.current_session_user_id()), false
    );
end;
$$;

comment on function limena.is_platform_admin() is
'Whether the person who acts through a session administers the platform; false with an API key. Raises 42501 when the context does not match its seal.';

grant execute on function limena.is_platform_admin() to limena_app;
