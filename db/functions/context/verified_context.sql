-- The one reader of the context. No part of it is believed before the seal has been recomputed.
--
-- What an attacker would try: set app.current_tenant_id alone (no seal: refused), bring back a seal of an earlier transaction or another
-- backend (other inputs: refused), guess a seal and time the answer (the comparison is of digests, whose bytes nobody can steer).
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.verified_context()
returns jsonb
language plpgsql
stable
parallel restricted
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    -- After a transaction that set it, an unset parameter reads '' and not NULL.
    v_tenant_id text := coalesce(current_setting('app.current_tenant_id', true), '');
    v_context text := coalesce(current_setting('app.context', true), '');
    v_seal text := coalesce(current_setting('app.seal', true), '');
begin
    if v_tenant_id = '' and v_context = '' and v_seal = '' then
        return null;
    end if;
    if sha256(convert_to(v_seal, 'UTF8'))
        is distinct from sha256(convert_to(limena_private.seal(v_tenant_id, v_context), 'UTF8')) then
        raise exception 'the tenant context does not match its seal' using errcode = '42501';
    end if;
    return v_context::jsonb || jsonb_build_object('tenant_id', nullif(v_tenant_id, ''));
end;
$$;

comment on function limena_private.verified_context() is
'The context of this transaction, or NULL where there is none. Raises 42501 when it does not match its seal.';
