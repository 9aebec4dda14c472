-- The first step of an export, in a transaction of its own that is over before a row leaves: whoever breaks the answer
-- off has exported all the same, and the log says so. Answers whose log it is.
--
-- SECURITY DEFINER because no role of the API may insert into audit_logs.
create or replace function limena.export_audit_logs(
    p_action text default null,
    p_actor_id uuid default null,
    p_entity_type text default null,
    p_entity_id text default null,
    p_from timestamptz default null,
    p_to timestamptz default null
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_filters jsonb := jsonb_strip_nulls(
        jsonb_build_object(
            'action', left(p_action, 200),
            'actor_id', p_actor_id,
            'entity_type', left(p_entity_type, 200),
            'entity_id', left(p_entity_id, 200),
            'from', p_from,
            'to', p_to
        )
    );
begin
    perform limena.require('audit:export');
    perform limena_private.record_event(
        p_tenant_id => limena.current_tenant_id(),
        p_action => 'audit_log.exported',
        p_details => jsonb_build_object('format', 'csv', 'filters', v_filters)
    );
    return jsonb_build_object('tenant_id', limena.current_tenant_id());
end;
$$;

comment on function limena.export_audit_logs(text, uuid, text, text, timestamptz, timestamptz) is
'The audit log of the current tenant as a CSV file (RFC 4180), newest first. from is inclusive, to is not. Texts that a spreadsheet would take for formulas begin with an apostrophe. Raises 42501 without audit:export.';

grant execute on function limena.export_audit_logs(text, uuid, text, text, timestamptz, timestamptz) to limena_app;
