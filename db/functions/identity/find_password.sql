-- What the API needs to verify the current password of someone who is logged in, and to refuse a new one made of their
-- own words.
--
-- SECURITY DEFINER because no role may read password hashes. For limena_auth alone.
create or replace function limena.find_password(p_secret_hash bytea)
returns table (user_id uuid, password_hash text, email text, display_name text, tenant_names text[])
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select
        u.id,
        u.password_hash,
        u.email,
        u.display_name,
        array(
            select t.name
            from limena.memberships as m
            inner join limena.tenants as t on m.tenant_id = t.id
            where m.user_id = u.id
        )
    from limena.sessions as s
    inner join limena.users as u on s.user_id = u.id
    where s.secret_hash = p_secret_hash and s.ended_at is null and s.expires_at > clock_timestamp();
end;
$$;

comment on function limena.find_password(bytea) is
'The user behind a live session, by the SHA-256 of its secret, with the bcrypt hash and the words that a password must not be made of; no row otherwise.';

grant execute on function limena.find_password(bytea) to limena_auth;
