-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.require_ai(
    p_tenant_id uuid, out calls_per_hour integer, out tokens_per_month bigint
)
returns record
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_is_on boolean;
begin
    select l.is_enabled and l.is_allowed, l.calls_per_hour, l.tokens_per_month
    into strict v_is_on, calls_per_hour, tokens_per_month
    from limena.ai_limits as l
    where l.tenant_id = p_tenant_id;
    if not v_is_on then
        raise exception 'AI is switched off' using errcode = 'LM003';
    end if;
end;
$$;

comment on function limena_private.require_ai(uuid) is
'The limits that count for a tenant. Raises LM003 when the tenant or the platform has switched AI off.';
