-- What COPY writes: the calls that the caller's policies show, newest first. No text in it can begin a formula: a
-- model's name begins with a letter or a digit (reserve_ai_call).
create or replace view limena.ai_usage_export
with (security_invoker = true) as
select
    l.tenant_id,
    l.id,
    to_char(l.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as occurred_at,
    l.actor_type,
    l.actor_id,
    l.model,
    l.outcome,
    l.prompt_tokens,
    l.completion_tokens,
    l.latency_ms
from limena.ai_usage_logs as l
where
    l.tenant_id = (select limena.exported_tenant_id())
    and l.occurred_at >= coalesce(nullif(current_setting('app.export_from', true), '')::timestamptz, '-infinity')
    and l.occurred_at < coalesce(nullif(current_setting('app.export_to', true), '')::timestamptz, 'infinity')
order by l.occurred_at desc, l.id desc;

comment on view limena.ai_usage_export is 'Each AI call as it is exported. Filters: begin_ai_usage_export().';

grant select on limena.ai_usage_export to limena_app, limena_readonly;
