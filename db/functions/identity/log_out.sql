-- SECURITY DEFINER because limena_app may not update sessions: whoever may can hold the locks that keep one from being
-- ended. Whose sessions they are, the sealed context says.
create or replace function limena.log_out()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_session_id uuid := limena.current_session_id();
begin
    if v_session_id is null then
        raise exception 'permission denied' using errcode = '42501';
    end if;

    update limena.sessions as s
    set ended_at = clock_timestamp()
    where s.id = v_session_id and s.ended_at is null;
end;
$$;

comment on function limena.log_out() is 'Ends the session that calls; its tokens are refused from the next request on. Raises 42501 without a session.';

grant execute on function limena.log_out() to limena_app;
