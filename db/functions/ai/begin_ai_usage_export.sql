-- The second step of an export, in the transaction that copies: the filters of limena.ai_usage_export. As for the
-- log's, the API runs it first of all too.
create or replace function limena.begin_ai_usage_export(p_from timestamptz default null, p_to timestamptz default null)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena.require('audit:export');
    perform limena.require('ai:read');
    perform
        set_config('app.export_from', coalesce(p_from::text, ''), true),
        set_config('app.export_to', coalesce(p_to::text, ''), true),
        -- Rows out of the index in their order, from the first moment on and without a file to sort them in.
        set_config('enable_sort', 'off', true),
        set_config('enable_bitmapscan', 'off', true),
        set_config('max_parallel_workers_per_gather', '0', true);
end;
$$;

comment on function limena.begin_ai_usage_export(timestamptz, timestamptz) is
'Sets the filters of limena.ai_usage_export for this transaction. Raises 42501 without audit:export and ai:read.';

grant execute on function limena.begin_ai_usage_export(timestamptz, timestamptz) to limena_app;
