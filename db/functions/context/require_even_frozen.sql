-- As require(), for the few procedures that work in a frozen tenant.
create or replace function limena.require_even_frozen(p_permission text)
returns void
language plpgsql
stable
parallel restricted
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if not (limena.has_permission(p_permission) or limena.is_withheld(p_permission)) then
        raise exception 'permission denied' using errcode = '42501', detail = coalesce(p_permission, '');
    end if;
end;
$$;

comment on function limena.require_even_frozen(text) is
'Returns when the sealed context holds the permission, or would if the tenant were not frozen; else raises 42501 with the permission as DETAIL.';

grant execute on function limena.require_even_frozen(text) to limena_app;
