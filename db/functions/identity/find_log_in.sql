-- What the API needs to verify a password, which PostgreSQL cannot do without an extension. The only place where a
-- bcrypt hash leaves the database.
--
-- SECURITY DEFINER because it comes before a tenant is known, and no role may read password hashes. For limena_auth
-- alone.
create or replace function limena.find_log_in(p_email text)
returns table (user_id uuid, password_hash text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select u.id, u.password_hash
    from limena.users as u
    where u.email = lower(btrim(p_email));
end;
$$;

comment on function limena.find_log_in(text) is 'The user and bcrypt hash behind an address; no row for an unknown one.';

grant execute on function limena.find_log_in(text) to limena_auth;
