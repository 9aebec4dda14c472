-- What makes a context unforgeable: nested SHA-256 under a key that the owner alone can read, over the tenant, the rest of the context,
-- the backend and the transaction's start. Without the key nobody computes it; in another backend, or after another message from the
-- client, it is worth nothing.
--
-- Every part before the free text has a fixed length, so that no two contexts share an input. transaction_timestamp() goes in as its eight
-- bytes, not as text: the caller rules over DateStyle and TimeZone.
--
-- SECURITY INVOKER: only the definer functions of this domain can call it, as limena_owner.
create or replace function limena_private.seal(p_tenant_id text, p_context text)
returns text
language plpgsql
stable
parallel restricted
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_secret bytea;
begin
    select k.secret into strict v_secret from limena_private.seal_keys as k;
    return encode(
        sha256(v_secret || sha256(
            v_secret
            || timestamptz_send(transaction_timestamp())
            || int4send(pg_backend_pid())
            || sha256(convert_to(p_tenant_id, 'UTF8'))
            || convert_to(p_context, 'UTF8')
        )),
        'hex'
    );
end;
$$;

comment on function limena_private.seal(text, text) is
'The seal of a tenant context in this backend and this transaction, as 64 hexadecimal digits.';
