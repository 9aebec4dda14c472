-- The clock of the quotas, by itself so that tests can put another in its place. Not now(): that is when the
-- transaction began, and whoever waited for a lock would count in the past.
--
-- One qualified name in SQL, so that PostgreSQL inlines it.
create or replace function limena.ai_clock()
returns timestamptz
language sql
volatile
parallel safe
security invoker
as $$ select pg_catalog.clock_timestamp() $$;

comment on function limena.ai_clock() is 'The time, as AI quotas count it.';

grant execute on function limena.ai_clock() to limena_app, limena_readonly;
