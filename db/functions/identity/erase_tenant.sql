-- The second step of a deletion: all that is the tenant's goes, in an order in which nothing points to what is gone.
-- What stays: the row in tenants, without its name, for the log names it by id; the log itself, which ends with its
-- retention, and to which no value is added that was not there; operator_access, which is who looked into the tenant
-- and is a part of that; and people's accounts, which are theirs.
--
-- Whoever adds a table of tenants adds its line: test_erase_tenant.sql fails while rows of one are left.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.erase_tenant(p_tenant_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- First, so that the log tells what went and not what it said: see record_changes().
    update limena.tenants as t
    set state = 'deleted', deletion_due_at = null, name = 'deleted'
    where t.id = p_tenant_id;
    -- The ai domain's one lock, before any of its rows.
    perform from limena.ai_quotas as q where q.tenant_id = p_tenant_id for update;
    perform limena_private.destroy_tenant_salt(p_tenant_id);
    delete from limena.integration_flows as f where f.tenant_id = p_tenant_id;
    delete from limena.integration_credentials as c where c.tenant_id = p_tenant_id;
    delete from limena.integrations as i where i.tenant_id = p_tenant_id;
    delete from limena.ai_reservations as r where r.tenant_id = p_tenant_id;
    delete from limena.ai_usage_days as d where d.tenant_id = p_tenant_id;
    delete from limena.ai_usage_logs as l where l.tenant_id = p_tenant_id;
    delete from limena.ai_quota_months as m where m.tenant_id = p_tenant_id;
    delete from limena.ai_quotas as q where q.tenant_id = p_tenant_id;
    delete from limena.ai_settings as s where s.tenant_id = p_tenant_id;
    delete from limena.api_key_rates as r where r.tenant_id = p_tenant_id;
    delete from limena.api_key_uses as u where u.tenant_id = p_tenant_id;
    delete from limena.api_keys as k where k.tenant_id = p_tenant_id;
    delete from limena.invitations as i where i.tenant_id = p_tenant_id;
    delete from limena.outbox as o where o.tenant_id = p_tenant_id;
    delete from limena.memberships as m where m.tenant_id = p_tenant_id;
end;
$$;

comment on function limena_private.erase_tenant(uuid) is 'Deletes all data of a tenant but its log. Its row stays, as deleted.';
