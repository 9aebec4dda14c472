-- The tenant's own switch, and limits below the platform's. What an attacker would try: raise a limit above the
-- platform's (refused in change_ai_settings, and least() in ai_limits would not count it).
--
-- SECURITY DEFINER because the columns of one row belong to three: the switch to ai:write, the own limits to
-- tenant:own, the others to the platform. Policies tell rows apart and not columns. And it counts under the quota's
-- lock.
create or replace function limena.update_ai_settings(
    p_is_enabled boolean default null,
    p_calls_per_hour integer default null,
    p_tokens_per_month bigint default null
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena.require('ai:write');
    if p_calls_per_hour is not null or p_tokens_per_month is not null then
        perform limena.require('tenant:own');
    end if;
    perform limena_private.change_ai_settings(
        p_tenant_id => limena.tenant_with('ai:write'),
        p_is_enabled => p_is_enabled,
        p_calls_per_hour => p_calls_per_hour,
        p_tokens_per_month => p_tokens_per_month
    );
    return limena.describe_ai_quota(limena.tenant_with('ai:write'));
end;
$$;

comment on function limena.update_ai_settings(boolean, integer, bigint) is
'Changes what is given of the current tenant''s AI settings, at once, and returns the quota. A limit that is the platform''s is none of one''s own. Raises 42501 without ai:write, for a limit without tenant:own; 22023 for a limit above the platform''s.';

grant execute on function limena.update_ai_settings(boolean, integer, bigint) to limena_app;
