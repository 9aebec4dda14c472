-- What the API must know before an invitation is accepted: its id, from which the token of its mail follows (another
-- token with this hash is nobody's proof of a mailbox); whether its address has an account, whose password or
-- session must then be shown, and the words that a new password must not be made of. Changes nothing. Whoever has the
-- token has the mailbox: they may know.
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.find_invitation(p_token_hash bytea)
returns table (id uuid, email text, is_known boolean, tenant_names text[])
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select
        i.id,
        i.email,
        exists (select from limena.users as u where u.email = i.email),
        array[i.tenant_name]
    from limena_private.open_invitation(p_token_hash) as i;
end;
$$;

comment on function limena.find_invitation(bytea) is
'The id of an open invitation and the address behind it, by the SHA-256 of its token, and whether it has an account; no row otherwise.';

grant execute on function limena.find_invitation(bytea) to limena_auth;
