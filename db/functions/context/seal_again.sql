-- The context that seal_for_platform() found. It carries its own seal: nothing is proved or sealed here.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.seal_again(p_previous text[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_previous is not null then
        perform
            set_config('app.current_tenant_id', p_previous[1], true),
            set_config('app.context', p_previous[2], true),
            set_config('app.seal', p_previous[3], true);
    end if;
end;
$$;

comment on function limena_private.seal_again(text[]) is 'Puts back the context that seal_for_platform() returned.';
