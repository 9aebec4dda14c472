-- The second step of an export, in the transaction that copies: the filters of limena.audit_export. The API runs it
-- first of all too, before anything is on record, so that who may not export is refused.
create or replace function limena.begin_audit_export(
    p_action text default null,
    p_actor_id uuid default null,
    p_entity_type text default null,
    p_entity_id text default null,
    p_from timestamptz default null,
    p_to timestamptz default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena.require('audit:export');
    perform
        set_config('app.export_action', coalesce(p_action, ''), true),
        set_config('app.export_actor_id', coalesce(p_actor_id::text, ''), true),
        set_config('app.export_entity_type', coalesce(p_entity_type, ''), true),
        set_config('app.export_entity_id', coalesce(p_entity_id, ''), true),
        set_config('app.export_from', coalesce(p_from::text, ''), true),
        set_config('app.export_to', coalesce(p_to::text, ''), true),
        -- Rows out of the index in their order, from the first moment on and without a file to sort them in.
        set_config('enable_sort', 'off', true),
        set_config('enable_bitmapscan', 'off', true),
        set_config('max_parallel_workers_per_gather', '0', true);
end;
$$;

comment on function limena.begin_audit_export(text, uuid, text, text, timestamptz, timestamptz) is
'Sets the filters of limena.audit_export for this transaction. Raises 42501 without audit:export.';

grant execute on function limena.begin_audit_export(text, uuid, text, text, timestamptz, timestamptz) to limena_app;
