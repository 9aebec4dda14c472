-- Crypto-shredding: what is left of the tenant's ciphertexts, here, on standbys and in logical copies, opens no more.
-- For the deletion of a tenant, before anything else goes. A backup that holds salts and ciphertexts still opens: see
-- docs/integrations.md.
--
-- SECURITY INVOKER: only limena_owner and its definer functions can call it.
create or replace function limena_private.destroy_tenant_salt(p_tenant_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from limena_private.tenant_salts as s where s.tenant_id = p_tenant_id;
    if found then
        perform limena_private.record_event(
            p_tenant_id => p_tenant_id, p_action => 'tenant.salt_destroyed', p_entity_type => 'tenant', p_entity_id => p_tenant_id::text
        );
    end if;
end;
$$;

comment on function limena_private.destroy_tenant_salt(uuid) is
'Destroys the salt of a tenant: its credentials cannot be opened any more, whoever has the master key.';
