-- How long the tenant's log is kept is the owner's to say: an admin who did something could otherwise have its traces
-- go. Changing it is in the log; a shorter time counts after 30 days (apply_retention), and 30 days remain in any case.
--
-- SECURITY DEFINER because tenant:write, which renames a tenant, must not be enough, and a policy knows no columns.
create or replace function limena.set_audit_retention(p_days integer)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('tenant:own');
begin
    perform limena.require('tenant:own');
    if p_days is null or p_days not between 30 and 3650 then
        raise exception 'must be from 30 to 3650' using errcode = '22023', column = 'audit_retention_days';
    end if;
    perform limena_private.lock_own_tenant(v_tenant_id, 'tenant:own');
    update limena.tenants as t
    set audit_retention_days = p_days
    where t.id = v_tenant_id and t.audit_retention_days <> p_days;
end;
$$;

comment on function limena.set_audit_retention(integer) is
'Sets how many days the current tenant''s audit log is kept at least; a shorter time counts after 30 days. Raises 42501 without tenant:own, 22023 unless p_days is from 30 to 3650.';

grant execute on function limena.set_audit_retention(integer) to limena_app;
