-- Row-level security decides: without ai:read there is no quota to tell of.
create or replace function limena.ai_notices()
returns jsonb
language plpgsql
stable
parallel restricted
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(jsonb_agg(n.notice order by n.place), '[]')
    from limena.ai_quota_states as s
    cross join lateral (
        select
            1 as place,
            jsonb_build_object(
                'code', 'ai_disabled',
                'severity', 'warning',
                'title', 'AI is switched off',
                'detail', case when s.is_allowed then 'It is switched off in the settings.' else 'The platform has switched it off.' end
                || ' Everything else goes on.',
                'until', null,
                'action', case when s.is_allowed then '/settings/ai' end
            ) as notice
        where not (s.is_enabled and s.is_allowed)
        union all
        select 2, limena.ai_trip_notice(s.trip_cause, s.trip_ends_at)
        where s.trip_cause is not null
        union all
        select
            3,
            jsonb_build_object(
                'code', 'ai_ceiling_near',
                'severity', 'warning',
                'title', case when s.used_tokens + s.reserved_tokens >= s.tokens_per_month * 0.95 then '95' else '80' end
                || ' % of this month''s AI tokens are used or reserved',
                'detail', 'AI pauses when they are used up.',
                'until', s.month_ends_at,
                'action', '/settings/ai'
            )
        where s.used_tokens + s.reserved_tokens >= s.tokens_per_month * 0.8
            and s.trip_cause is distinct from 'ceiling'
    ) as n
    where s.tenant_id = (select limena.tenant_with('ai:read'));
end;
$$;

comment on function limena.ai_notices() is
'What a banner shows of the current tenant''s AI: [{code, severity, title, detail, until, action}]. Empty without ai:read.';

grant execute on function limena.ai_notices() to limena_app;
