-- Puts ciphertexts under the new master key in the place of those that they were made from, and touches nothing that
-- was changed meanwhile: a token that was refreshed, a provider that was connected anew. A batch is one transaction, so
-- that a rotation can be killed at any moment and begun again.
--
-- What an operator would try: bring back an old ciphertext (only what is there now can be replaced, and a ciphertext of
-- another row or version does not open).
--
-- SECURITY DEFINER because no role may update ciphertexts. For limena_maintenance alone. The audit triggers put each
-- credential's change into its tenant's log.
create or replace function limena.reseal_credentials(
    p_old_version integer,
    p_new_version integer,
    p_tenant_ids uuid[],
    p_ids uuid[],
    p_fields text[],
    p_old bytea[],
    p_new bytea[]
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_credentials integer;
    v_flows integer;
begin
    if p_new_version <= 0 or p_new_version is not distinct from p_old_version then
        raise exception 'must be another version' using errcode = '22023', column = 'new_version';
    end if;
    update limena.integration_credentials as c
    set key_version = p_new_version, ciphertext = n.new
    from unnest(p_tenant_ids, p_ids, p_fields, p_old, p_new) as n (tenant_id, id, field, old, new)
    where c.tenant_id = n.tenant_id
        and c.integration_id = n.id
        and c.field = n.field
        and c.key_version = p_old_version
        and c.ciphertext = n.old;
    get diagnostics v_credentials = row_count;

    update limena.integration_flows as f
    set key_version = p_new_version, ciphertext = n.new
    from unnest(p_tenant_ids, p_ids, p_fields, p_old, p_new) as n (tenant_id, id, field, old, new)
    where n.field = 'code_verifier'
        and f.tenant_id = n.tenant_id
        and f.id = n.id
        and f.key_version = p_old_version
        and f.ciphertext = n.old;
    get diagnostics v_flows = row_count;
    return v_credentials + v_flows;
end;
$$;

comment on function limena.reseal_credentials(integer, integer, uuid[], uuid[], text[], bytea[], bytea[]) is
'Replaces ciphertexts by those under a new version of the master key, where they are still what they were; returns how many.';

grant execute on function limena.reseal_credentials(integer, integer, uuid[], uuid[], text[], bytea[], bytea[])
to limena_maintenance;
