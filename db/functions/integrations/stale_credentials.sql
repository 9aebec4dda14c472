-- What is still sealed under an old master key, code verifiers included, in the order of their keys: the next page is
-- what comes after the last one shown. For `limena master-key rotate`, which opens and seals.
--
-- SECURITY DEFINER because no role may read ciphertexts and salts. For limena_maintenance alone; it gets no plain text.
create or replace function limena.stale_credentials(
    p_key_version integer,
    p_limit integer,
    p_after_tenant_id uuid default null,
    p_after_id uuid default null,
    p_after_field text default null
)
returns table (tenant_id uuid, id uuid, field text, ciphertext bytea, salt bytea)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_nil uuid := '00000000-0000-0000-0000-000000000000';
begin
    if p_limit is null or p_limit not between 1 and 10000 then
        raise exception 'must be from 1 to 10000' using errcode = '22023', column = 'limit';
    end if;
    return query
    select
        n.tenant_id,
        n.id,
        n.field,
        n.ciphertext,
        s.salt
    from (
        (
            select c.tenant_id, c.integration_id as id, c.field, c.ciphertext
            from limena.integration_credentials as c
            where c.key_version = p_key_version
                and (c.tenant_id, c.integration_id, c.field)
                > (coalesce(p_after_tenant_id, v_nil), coalesce(p_after_id, v_nil), coalesce(p_after_field, ''))
            order by c.tenant_id, c.integration_id, c.field
            limit p_limit
        )
        union all
        (
            select f.tenant_id, f.id, 'code_verifier', f.ciphertext
            from limena.integration_flows as f
            where f.key_version = p_key_version
                and (f.tenant_id, f.id, 'code_verifier'::text)
                > (coalesce(p_after_tenant_id, v_nil), coalesce(p_after_id, v_nil), coalesce(p_after_field, ''))
            order by f.tenant_id, f.id
            limit p_limit
        )
    ) as n
    left join limena_private.tenant_salts as s on n.tenant_id = s.tenant_id
    order by n.tenant_id, n.id, n.field
    limit p_limit;
end;
$$;

comment on function limena.stale_credentials(integer, integer, uuid, uuid, text) is
'Ciphertexts under a version of the master key, a page of them, with the salts that they need (null: destroyed). Raises 22023 unless p_limit is from 1 to 10000.';

grant execute on function limena.stale_credentials(integer, integer, uuid, uuid, text) to limena_maintenance;
