-- Each domain adds its own.
create or replace function limena.notices()
returns jsonb
language plpgsql
stable
parallel restricted
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return limena.tenant_notices() || limena.ai_notices();
end;
$$;

comment on function limena.notices() is
'What the banner shows: [{code, severity, title, detail, until, action}], as far as the caller may see it.';

grant execute on function limena.notices() to limena_app;
