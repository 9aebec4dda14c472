-- Granted to nobody: only who can deploy (`set role limena_owner`) makes a platform admin, and the audit log of each of
-- the person's tenants shows it.
create or replace function limena.promote_user(p_email text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    update limena.users as u
    set is_platform_admin = true
    where u.email = lower(btrim(p_email));
    if not found then
        raise exception 'no user has this address' using errcode = 'P0002';
    end if;
end;
$$;

comment on function limena.promote_user(text) is 'Makes a user a platform admin. For limena_owner alone. Raises P0002 when no user has the address.';
