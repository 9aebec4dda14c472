-- What stands once, in the platform's log, and is every tenant's business: that an operator opened an access to all.
-- For list_audit_logs and the export, which mix it with the tenant's own rows. Nothing from before there was a tenant.
--
-- What an attacker would try: search the platform's log with a condition of their own. The function's arguments are
-- all that it takes, and from where the operator came is not shown.
--
-- limena_readonly may call it because the view of the export does; in no tenant's context it gets no row.
--
-- SECURITY DEFINER because no tenant's policy opens the platform's log.
create or replace function limena.announcements(
    p_before_at timestamptz default 'infinity',
    p_before_seq bigint default 0,
    p_from timestamptz default '-infinity',
    p_limit integer default null
)
returns setof limena.audit_logs
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('audit:read');
    v_from timestamptz;
begin
    if v_tenant_id is null then
        return;
    end if;
    select greatest(t.created_at, p_from) into v_from from limena.tenants as t where t.id = v_tenant_id;
    return query
    select
        v_tenant_id, l.occurred_at, l.seq, l.id, l.action, l.actor_type, l.actor_id, l.actor_label, l.entity_type,
        l.entity_id, l.changes, l.details, null::text, null::inet, null::text, l.on_behalf_of_id, l.on_behalf_of_label,
        null::uuid, null::uuid
    from limena.audit_logs as l
    where l.tenant_id = limena_private.platform_tenant_id()
        and l.action = any (array(select a.name from limena.audit_actions as a where a.is_announced))
        and l.occurred_at >= v_from
        and l.occurred_at <= p_before_at
        and (l.occurred_at, l.seq) < (p_before_at, p_before_seq)
    order by l.occurred_at desc, l.seq desc
    limit p_limit;
end;
$$;

comment on function limena.announcements(timestamptz, bigint, timestamptz, integer) is
'Rows of the platform''s log that are announced to all tenants, newest first, before a place of the list; no row without audit:read. Raises 42501 when the context does not match its seal, 2201W for a negative limit.';

grant execute on function limena.announcements(timestamptz, bigint, timestamptz, integer) to limena_app,
limena_readonly;
