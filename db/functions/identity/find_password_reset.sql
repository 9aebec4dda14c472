-- The words that a new password must not be made of, for who shows a reset token that is still good. Changes nothing.
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.find_password_reset(p_token_hash bytea)
returns table (email text, display_name text, tenant_names text[])
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select
        u.email,
        u.display_name,
        array(
            select t.name
            from limena.memberships as m
            inner join limena.tenants as t on m.tenant_id = t.id
            where m.user_id = u.id
        )
    from limena.password_resets as r
    inner join limena.users as u on r.user_id = u.id
    where r.token_hash = p_token_hash and r.used_at is null and r.expires_at > clock_timestamp();
end;
$$;

comment on function limena.find_password_reset(bytea) is 'The person behind a reset token that is still good; no row otherwise.';

grant execute on function limena.find_password_reset(bytea) to limena_auth;
