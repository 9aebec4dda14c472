-- The words that a new password must not be made of, for who shows the token of a registration that is still good.
-- Changes nothing.
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.find_registration(p_token_hash bytea)
returns table (email text, display_name text, tenant_names text[])
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select r.email, r.display_name, array[r.tenant_name]
    from limena.registrations as r
    where r.token_hash = p_token_hash and r.used_at is null and r.expires_at > clock_timestamp();
end;
$$;

comment on function limena.find_registration(bytea) is 'The registration behind a token that is still good; no row otherwise.';

grant execute on function limena.find_registration(bytea) to limena_auth;
