create or replace function limena.ai_trip_notice(p_cause text, p_ends_at timestamptz)
returns jsonb
language plpgsql
stable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object(
        'code', 'ai_' || p_cause || '_exceeded',
        'severity', 'error',
        'title', 'AI is paused',
        'detail', case p_cause
            when 'velocity' then 'There were more AI calls within an hour than the limit allows. An owner can reset this.'
            else 'The AI tokens of this month are used up.'
        end || ' Everything else goes on.',
        'until', p_ends_at,
        'action', '/settings/ai'
    );
end;
$$;

comment on function limena.ai_trip_notice(text, timestamptz) is 'What the banner and the 429 say while AI is paused.';

grant execute on function limena.ai_trip_notice(text, timestamptz) to limena_app;
