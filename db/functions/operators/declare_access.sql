-- What open_access and open_access_as share: the row, and the event in the log of whoever is covered. Who acts is the
-- sealed context's matter.
--
-- What an operator would try: commit the declaration with synchronous_commit = off, read, and bring the server down
-- before the declaration is on disk. A commit that has files to remove is flushed whatever that setting says
-- (PostgreSQL's documentation, "Asynchronous Commit"), and before anybody sees it: so a table is made and dropped here.
-- docs/decisions/0066.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.declare_access(
    p_ticket text,
    p_user_id uuid,
    p_session_id uuid,
    p_reason text,
    p_tenant_id uuid,
    p_duration interval
)
returns timestamptz
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_access limena.operator_access;
    v_reason text := btrim(p_reason);
begin
    if not limena_private.is_reason(v_reason, 3) then
        raise exception 'must say why, in 3 to 500 characters' using errcode = '22023', column = 'reason';
    end if;
    if p_duration is null or p_duration <= interval '0' or p_duration > interval '12 hours' then
        raise exception 'must be more than nothing and at most 12 hours' using errcode = '22023', column = 'duration';
    end if;
    if p_tenant_id is not null and not exists (select from limena.tenants as t where t.id = p_tenant_id) then
        raise exception 'no such tenant' using errcode = 'P0002';
    end if;

    insert into limena.operator_access as a (
        tenant_id, covers_all, login, user_id, session_id, reason, ticket_hash, expires_at
    )
    values (
        coalesce(p_tenant_id, limena_private.platform_tenant_id()), p_tenant_id is null, session_user, p_user_id,
        p_session_id, v_reason, sha256(convert_to(p_ticket, 'UTF8')), clock_timestamp() + p_duration
    )
    returning a.* into v_access;

    perform limena_private.record_event(
        p_tenant_id => v_access.tenant_id,
        p_action => case when v_access.covers_all then 'operator.all_access_opened' else 'operator.access_opened' end,
        p_entity_type => 'operator_access',
        p_entity_id => v_access.id::text,
        p_details => jsonb_build_object('reason', v_access.reason, 'until', v_access.expires_at, 'login', v_access.login)
    );
    execute format('create table limena_private.%I ()', 'access_' || v_access.id);
    execute format('drop table limena_private.%I', 'access_' || v_access.id);
    return v_access.expires_at;
end;
$$;

comment on function limena_private.declare_access(text, uuid, uuid, text, uuid, interval) is
'Writes a declared access and its event, on disk by the time that they are committed; returns its end. Raises 22023 for a bad reason or duration, P0002 for a tenant that does not exist.';
