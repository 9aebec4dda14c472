-- The first step of an export, as export_audit_logs() is the log's: on record before a row leaves.
--
-- SECURITY DEFINER because no role of the API may insert into audit_logs.
create or replace function limena.export_ai_usage(p_from timestamptz default null, p_to timestamptz default null)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_filters jsonb := jsonb_strip_nulls(jsonb_build_object('from', p_from, 'to', p_to));
begin
    perform limena.require('audit:export');
    perform limena.require('ai:read');
    perform limena_private.record_event(
        p_tenant_id => limena.current_tenant_id(),
        p_action => 'ai_usage.exported',
        p_details => jsonb_build_object('format', 'csv', 'filters', v_filters)
    );
    return jsonb_build_object('tenant_id', limena.current_tenant_id());
end;
$$;

comment on function limena.export_ai_usage(timestamptz, timestamptz) is
'Each AI call of the current tenant as a CSV file (RFC 4180), newest first. from is inclusive, to is not. Raises 42501 without audit:export and ai:read.';

grant execute on function limena.export_ai_usage(timestamptz, timestamptz) to limena_app;
