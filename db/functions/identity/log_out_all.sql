create or replace function limena.log_out_all()
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
    where s.user_id = (select limena.current_user_id());
end;
$$;

comment on function limena.log_out_all() is 'Ends every session of the person who calls. Raises 42501 without a session.';

grant execute on function limena.log_out_all() to limena_app;
