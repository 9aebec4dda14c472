create or replace function limena.log_out()
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if limena.current_session_id() is null then
        raise exception 'permission denied' using errcode = '42501';
    end if;

    update limena.sessions as s
    set ended_at = clock_timestamp()
    where s.id = (select limena.current_session_id());
end;
$$;

comment on function limena.log_out() is 'Ends the session that calls; its tokens are refused from the next request on. Raises 42501 without a session.';

grant execute on function limena.log_out() to limena_app;
