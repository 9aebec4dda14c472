-- Names and addresses of people, for those who may see them: oneself (with an API key: its creator), and with
-- members:read whoever belongs to the current tenant.
--
-- What an attacker would try: ask for people of another tenant by their ids (no row, as for ids that do not exist), or
-- search the table with a condition of their own (there is no table to put it on: limena_app has no right on
-- limena.users).
--
-- SECURITY DEFINER because no role of the API may read limena.users.
create or replace function limena.find_people(p_ids uuid[])
returns table (id uuid, email text, display_name text)
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := limena.current_user_id();
    v_tenant_id uuid := limena.tenant_with('members:read');
begin
    return query
    select u.id, u.email, u.display_name
    from limena.users as u
    where u.id = any (p_ids)
        and (
            u.id = v_user_id
            or exists (select from limena.memberships as m where m.tenant_id = v_tenant_id and m.user_id = u.id)
        );
end;
$$;

comment on function limena.find_people(uuid[]) is
'The people among p_ids whom the caller may see: oneself, and with members:read the members of the current tenant. No row for others. Raises 42501 when the context does not match its seal.';

grant execute on function limena.find_people(uuid[]) to limena_app;
