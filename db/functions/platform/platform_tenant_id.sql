-- The reserved tenant whose audit log holds what belongs to no tenant. The same id stands in
-- 0003_tenants_and_users.sql, which made it.
create or replace function limena_private.platform_tenant_id()
returns uuid
language sql
immutable
parallel safe
security invoker
as $$ select '00000000-0000-4000-8000-000000000000'::pg_catalog.uuid $$;

comment on function limena_private.platform_tenant_id() is 'The id of the reserved tenant platform.';
