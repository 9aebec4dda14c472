-- What open_access and open_access_as share: the row, and the event in the log of whoever is covered. Who acts is the
-- sealed context's matter.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.declare_access(
    p_ticket text,
    p_user_id uuid,
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
    if v_reason is null or char_length(v_reason) not between 3 and 500 or v_reason ~ '[[:cntrl:]]' then
        raise exception 'must say why, in 3 to 500 characters' using errcode = '22023', column = 'reason';
    end if;
    if p_duration is null or p_duration <= interval '0' or p_duration > interval '12 hours' then
        raise exception 'must be more than nothing and at most 12 hours' using errcode = '22023', column = 'duration';
    end if;
    if p_tenant_id is not null and not exists (select from limena.tenants as t where t.id = p_tenant_id) then
        raise exception 'no such tenant' using errcode = 'P0002';
    end if;

    insert into limena.operator_access as a (tenant_id, covers_all, login, user_id, reason, ticket_hash, expires_at)
    values (
        coalesce(p_tenant_id, limena_private.platform_tenant_id()), p_tenant_id is null, session_user, p_user_id, v_reason,
        sha256(convert_to(p_ticket, 'UTF8')), clock_timestamp() + p_duration
    )
    returning a.* into v_access;

    perform limena_private.record_event(
        p_tenant_id => v_access.tenant_id,
        p_action => case when v_access.covers_all then 'operator.all_access_opened' else 'operator.access_opened' end,
        p_entity_type => 'operator_access',
        p_entity_id => v_access.id::text,
        p_details => jsonb_build_object('reason', v_access.reason, 'until', v_access.expires_at, 'login', v_access.login)
    );
    return v_access.expires_at;
end;
$$;

comment on function limena_private.declare_access(text, uuid, text, uuid, interval) is
'Writes a declared access and its event; returns its end. Raises 22023 for a bad reason or duration, P0002 for a tenant that does not exist.';
