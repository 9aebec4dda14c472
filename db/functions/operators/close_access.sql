-- SECURITY DEFINER because no role may write operator_access. What it closes is this session's own: the ticket says so.
create or replace function limena.close_access()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ticket text := nullif(current_setting('app.operator_ticket', true), '');
begin
    perform limena_private.seal_operator();
    update limena.operator_access as a
    set closed_at = clock_timestamp()
    where a.ticket_hash = sha256(convert_to(v_ticket, 'UTF8')) and a.login = session_user and a.closed_at is null;
    if not found then
        raise exception 'no access is open' using errcode = 'P0002';
    end if;
    perform set_config('app.operator_ticket', '', false);
end;
$$;

comment on function limena.close_access() is
'Ends this session''s access to tenants'' rows before its time. Raises P0002 when none is open.';

grant execute on function limena.close_access() to limena_readonly;
