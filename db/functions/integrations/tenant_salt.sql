-- Made when the first credential is about to be sealed: a tenant without integrations has none. The bytes come from the
-- server's own random source, as those of the seal's key do. A salt is no secret, but destroying it is what makes a
-- deleted tenant's ciphertexts worthless, so it is in no row but this one.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.tenant_salt(p_tenant_id uuid)
returns bytea
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from limena_private.tenant_salts as s where s.tenant_id = p_tenant_id) then
        insert into limena_private.tenant_salts (tenant_id, salt)
        values (
            p_tenant_id,
            sha256(
                uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
            )
        )
        on conflict (tenant_id) do nothing;
    end if;
    return (select s.salt from limena_private.tenant_salts as s where s.tenant_id = p_tenant_id);
end;
$$;

comment on function limena_private.tenant_salt(uuid) is 'The salt of a tenant, made when it has none yet.';
