-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.seal_digest(p_previous bytea, p_seal limena.audit_seals)
returns bytea
language plpgsql
immutable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return sha256(
        coalesce(p_previous, ''::bytea) || convert_to(
            jsonb_build_array(
                p_seal.tenant_id, p_seal.number, p_seal.from_seq, p_seal.to_seq, p_seal.row_count,
                (extract(epoch from p_seal.first_at) * 1000000)::bigint,
                (extract(epoch from p_seal.last_at) * 1000000)::bigint,
                encode(p_seal.rows_digest, 'hex')
            )::text,
            'UTF8'
        )
    );
end;
$$;

comment on function limena_private.seal_digest(bytea, limena.audit_seals) is
'The digest of a seal, given that of the seal before it (NULL for a tenant''s first).';
