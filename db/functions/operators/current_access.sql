-- The one reader of an operator's ticket: which access, if any, is in force for this login at this moment.
--
-- What an operator would try: show a made-up ticket (256 bits, found by their SHA-256), one that was closed or has run
-- out, one of a colleague's (bound to session_user, which SET ROLE does not change), or declare, read and roll the
-- declaration back (the transaction that declared it never has it; another one sees it only once it is committed); go
-- on in the name of a platform admin who has logged out, or is none any more (asked here, each time).
--
-- Known: a cursor or a COPY that is already running goes on, and an older snapshot does not see another session close
-- an access. Both end at expires_at at the latest for statements that begin after it, and are in the log.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.current_access()
returns limena.operator_access
language plpgsql
stable
parallel restricted
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ticket text := nullif(current_setting('app.operator_ticket', true), '');
    v_access limena.operator_access;
begin
    if v_ticket is null then
        return null;
    end if;
    select a.* into v_access
    from limena.operator_access as a
    where a.ticket_hash = sha256(convert_to(v_ticket, 'UTF8'))
        and a.login = session_user
        and a.closed_at is null
        and a.expires_at > clock_timestamp()
        and a.opened_by_xid is distinct from pg_current_xact_id_if_assigned()
        and (
            a.user_id is null and a.session_id is null
            or exists (
                select from limena.sessions as s
                inner join limena.users as u on s.user_id = u.id
                where s.id = a.session_id
                    and s.user_id = a.user_id
                    and s.ended_at is null
                    and s.expires_at > clock_timestamp()
                    and u.is_platform_admin
            )
        );
    if not found then
        return null;
    end if;
    return v_access;
end;
$$;

comment on function limena_private.current_access() is
'The declared access whose ticket this session shows, when it is this login''s, committed, not closed and not past its end, and the session in which the API declared it is a platform admin''s still; else NULL.';
