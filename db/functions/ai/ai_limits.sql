-- What counts for a tenant: the platform's limits, or the owner's where they are lower. A tenant whose settings nobody
-- has touched has no row, and the defaults of the table (a test holds these here to those).
create or replace view limena.ai_limits
with (security_invoker = true) as
select
    t.id as tenant_id,
    coalesce(s.is_enabled, true) as is_enabled,
    coalesce(s.is_allowed, true) as is_allowed,
    coalesce(s.max_calls_per_hour, 500) as max_calls_per_hour,
    coalesce(s.max_tokens_per_month, 20000000) as max_tokens_per_month,
    least(s.calls_per_hour, coalesce(s.max_calls_per_hour, 500)) as calls_per_hour,
    least(s.tokens_per_month, coalesce(s.max_tokens_per_month, 20000000)) as tokens_per_month
from limena.tenants as t
left join limena.ai_settings as s on t.id = s.tenant_id;

comment on view limena.ai_limits is 'The switches and limits that count for each tenant.';

grant select on limena.ai_limits to limena_app, limena_readonly;
