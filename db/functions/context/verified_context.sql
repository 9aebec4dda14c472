-- The one reader of the context. No part of it is believed before the seal has been recomputed.
--
-- What an attacker would try: set app.current_tenant_id alone (no seal: refused), bring back a seal of an earlier
-- message or another backend (other inputs: refused; of an earlier transaction in the same message it would fit, see
-- docs/threat-model.md), guess a seal and time the answer (the comparison is of digests, whose bytes nobody can steer).
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, and with the search_path that each of them
-- pins.
create or replace function limena_private.verified_context()
returns text
language plpgsql
stable
parallel restricted
security invoker
as $$
declare
    -- After a transaction that set it, an unset parameter reads '' and not NULL.
    v_tenant_id text := coalesce(pg_catalog.current_setting('app.current_tenant_id', true), '');
    v_context text := coalesce(pg_catalog.current_setting('app.context', true), '');
    v_seal text := coalesce(pg_catalog.current_setting('app.seal', true), '');
    v_secret bytea;
begin
    if v_tenant_id operator(pg_catalog.=) '' and v_context operator(pg_catalog.=) '' and v_seal operator(pg_catalog.=) '' then
        return null;
    end if;
    select k.secret into strict v_secret from limena_private.seal_keys as k;
    if pg_catalog.sha256(pg_catalog.convert_to(v_seal, 'UTF8')) operator(pg_catalog.<>) pg_catalog.sha256(
        pg_catalog.convert_to(pg_catalog.encode(limena_private.seal(v_secret, v_tenant_id, v_context), 'hex'), 'UTF8')
    ) then
        raise exception 'the tenant context does not match its seal' using errcode = '42501';
    end if;
    -- enter_… refused an older snapshot; a later transaction of the same message, to which a seal still fits, could
    -- have one.
    if pg_catalog.current_setting('transaction_isolation') operator(pg_catalog.<>) 'read committed' then
        raise exception 'a context holds under READ COMMITTED only' using errcode = '25001';
    end if;
    return v_context;
end;
$$;

comment on function limena_private.verified_context() is
'The context of this transaction as JSON text, or NULL where there is none. Raises 42501 when it does not match its seal.';
