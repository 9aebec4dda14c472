-- The same password with another bcrypt cost, after a log-in that verified it. Does nothing when the hash is no longer
-- the one that was verified.
--
-- SECURITY DEFINER because no role may write users. For limena_auth alone.
create or replace function limena.rehash_password(p_user_id uuid, p_old_hash text, p_new_hash text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update limena.users as u
    set password_hash = p_new_hash
    where u.id = p_user_id and u.password_hash = p_old_hash;
end;
$$;

comment on function limena.rehash_password(uuid, text, text) is 'Replaces the bcrypt hash that was just verified by one of the same password with another cost.';

grant execute on function limena.rehash_password(uuid, text, text) to limena_auth;
