-- A session of someone else and one that does not exist get the same answer. Ending twice is not an error.
--
-- SECURITY DEFINER because limena_app may not update sessions: whoever may can hold the locks that keep one from being
-- ended. Whose sessions they are, the sealed context says.
create or replace function limena.end_session(p_id uuid)
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
    where s.id = p_id and s.user_id = v_user_id and s.ended_at is null;
    if found then
        return;
    end if;
    -- Not there, or ended before.
    perform from limena.sessions as s where s.id = p_id and s.user_id = v_user_id;
    if not found then
        raise exception 'no such session' using errcode = 'P0002';
    end if;
end;
$$;

comment on function limena.end_session(uuid) is 'Ends a session of the person who calls. Raises 42501 without a session, P0002 when there is none with this id.';

grant execute on function limena.end_session(uuid) to limena_app;
