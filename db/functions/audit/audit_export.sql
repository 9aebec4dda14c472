-- What COPY writes for an export: the rows that the caller's policies show, under the filters that begin_audit_export()
-- has set for the transaction, newest first, after what is announced to all tenants. A filter hides rows and shows
-- none.
create or replace view limena.audit_export
with (security_invoker = true) as
select
    r.id,
    to_char(r.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as occurred_at,
    r.action,
    r.actor_type,
    r.actor_id,
    limena.csv_text(r.actor_label) as actor_label,
    r.on_behalf_of_id,
    limena.csv_text(r.on_behalf_of_label) as on_behalf_of_label,
    limena.csv_text(r.entity_type) as entity_type,
    limena.csv_text(r.entity_id) as entity_id,
    -- JSON's own escape for what some spreadsheets split at (see csv_text): the value is the same.
    replace(r.changes::text, ';', '\u003b') as changes,
    replace(r.details::text, ';', '\u003b') as details,
    limena.csv_text(r.request_id) as request_id,
    host(r.ip) as ip,
    limena.csv_text(r.user_agent) as user_agent
from (
    select
        a.id,
        a.occurred_at,
        a.action,
        a.actor_type,
        a.actor_id,
        a.actor_label,
        a.on_behalf_of_id,
        a.on_behalf_of_label,
        a.entity_type,
        a.entity_id,
        a.changes,
        a.details,
        a.request_id,
        a.ip,
        a.user_agent
    from limena.announcements() as a
    union all
    (
        select
            l.id,
            l.occurred_at,
            l.action,
            l.actor_type,
            l.actor_id,
            l.actor_label,
            l.on_behalf_of_id,
            l.on_behalf_of_label,
            l.entity_type,
            l.entity_id,
            l.changes,
            l.details,
            l.request_id,
            l.ip,
            l.user_agent
        from limena.audit_logs as l
        where l.tenant_id = (select limena.exported_tenant_id())
        order by l.occurred_at desc, l.seq desc
    )
) as r
where
    r.occurred_at >= coalesce(nullif(current_setting('app.export_from', true), '')::timestamptz, '-infinity')
    and r.occurred_at < coalesce(nullif(current_setting('app.export_to', true), '')::timestamptz, 'infinity')
    and r.action = coalesce(nullif(current_setting('app.export_action', true), ''), r.action)
    and (
        coalesce(current_setting('app.export_actor_id', true), '') = ''
        or r.actor_id = nullif(current_setting('app.export_actor_id', true), '')::uuid
    )
    and (
        coalesce(current_setting('app.export_entity_type', true), '') = ''
        or r.entity_type = current_setting('app.export_entity_type', true)
    )
    and (
        coalesce(current_setting('app.export_entity_id', true), '') = ''
        or r.entity_id = current_setting('app.export_entity_id', true)
    );

comment on view limena.audit_export is
'The audit log as it is exported: texts that a spreadsheet would take for formulas are neutralised. Filters: begin_audit_export().';

grant select on limena.audit_export to limena_app, limena_readonly;
