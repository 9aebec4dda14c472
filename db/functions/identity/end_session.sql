-- A session of someone else and one that does not exist get the same answer. Ending twice is not an error.
create or replace function limena.end_session(p_id uuid)
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
    where s.id = p_id and s.user_id = (select limena.current_user_id());
    if found then
        return;
    end if;
    -- Not there, or ended before: the policy hides an ended session from UPDATE.
    perform from limena.sessions as s where s.id = p_id and s.user_id = (select limena.current_user_id());
    if not found then
        raise exception 'no such session' using errcode = 'P0002';
    end if;
end;
$$;

comment on function limena.end_session(uuid) is 'Ends a session of the person who calls. Raises 42501 without a session, P0002 when there is none with this id.';

grant execute on function limena.end_session(uuid) to limena_app;
