-- The lock, and then the question who asks for it: see lock_tenant() and prove_again().
--
-- What an attacker would try: send the call before they are removed or lowered, and have it wait for just that.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.lock_own_tenant(p_tenant_id uuid, p_permission text default null)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_permission is not null then
        -- Before the lock, too: who may not, does not get to hold it.
        perform limena.require(p_permission);
    end if;
    perform limena_private.lock_tenant(p_tenant_id);
    perform limena_private.prove_again();
    if p_permission is not null then
        perform limena.require(p_permission);
    end if;
end;
$$;

comment on function limena_private.lock_own_tenant(uuid, text) is
'Locks the tenant of the context to the end of the transaction, and asks for the permission (NULL: for none) as it is then. Raises 42501 without it, LM001 unless the tenant is active, 28000 when the caller''s credential or membership is gone.';
