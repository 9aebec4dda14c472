-- SECURITY DEFINER because limena_app may not update sessions: whoever may can hold the locks that keep one from being
-- ended. Whose sessions they are, the sealed context says.
create or replace function limena.log_out_all()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := limena.current_session_user_id();
begin
    if v_user_id is null then
        raise exception 'permission denied' using errcode = '42501';
    end if;

    update limena.sessions as s
    set ended_at = clock_timestamp()
    where s.user_id = v_user_id and s.ended_at is null;
end;
$$;

comment on function limena.log_out_all() is 'Ends every session of the person who calls. Raises 42501 without a session.';

grant execute on function limena.log_out_all() to limena_app;
