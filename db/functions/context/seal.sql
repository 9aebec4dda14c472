-- What makes a context unforgeable: nested SHA-256 under a key that the owner alone can read, over the tenant, the rest
-- of the context, the backend and the transaction's start. Without the key nobody computes it; in another backend, or
-- in a transaction that a later message began, it is worth nothing.
--
-- Every part before the free text has a fixed length, so that no two contexts share an input. transaction_timestamp()
-- goes in as its eight bytes, not as text: the caller rules over DateStyle and TimeZone.
--
-- One expression of qualified names in SQL, so that PostgreSQL inlines it: it runs several times a request.
create or replace function limena_private.seal(p_secret bytea, p_tenant_id text, p_context text)
returns bytea
language sql
stable
parallel restricted
security invoker
as $$
select pg_catalog.sha256(
    p_secret operator(pg_catalog.||) pg_catalog.sha256(
        p_secret
        operator(pg_catalog.||) pg_catalog.timestamptz_send(pg_catalog.transaction_timestamp())
        operator(pg_catalog.||) pg_catalog.int4send(pg_catalog.pg_backend_pid())
        operator(pg_catalog.||) pg_catalog.sha256(pg_catalog.convert_to(p_tenant_id, 'UTF8'))
        operator(pg_catalog.||) pg_catalog.convert_to(p_context, 'UTF8')
    )
)
$$;

comment on function limena_private.seal(bytea, text, text) is
'The seal of a tenant context in this backend and this transaction: 32 bytes, under the secret of limena_private.seal_keys.';
