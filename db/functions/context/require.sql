-- For procedures: a clear error before the policies would hide the rows. A procedure that forgets it is still harmless.
create or replace function limena.require(p_permission text)
returns void
language plpgsql
stable
parallel restricted
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if not limena.has_permission(p_permission) then
        if limena.is_withheld(p_permission) then
            raise exception 'the tenant is frozen' using errcode = 'LM001', detail = p_permission;
        end if;
        raise exception 'permission denied' using errcode = '42501', detail = coalesce(p_permission, '');
    end if;
end;
$$;

comment on function limena.require(text) is
'Returns when the sealed context holds the permission; else raises 42501 with the permission as DETAIL, or LM001 when it is withheld because the tenant is frozen.';

grant execute on function limena.require(text) to limena_app;
