-- Trigger function: a key that has just been made is somebody's who may still make it, and has its row for its last
-- use.
--
-- What an attacker would try: make a key in a transaction that is open while they are removed, or while all keys are
-- revoked, and commit it afterwards. None of those may wait for that transaction, which can be held open for long. So
-- they leave a time behind (memberships.created_at of whoever comes back; tenants.api_keys_revoked_at), and
-- enter_api_key refuses keys from before. What begins after that time and before it is committed waits here, and is
-- then asked again who it is. The lock is let go at once: it is only waited for.
--
-- SECURITY DEFINER because limena_app can neither lock tenants nor write api_key_uses.
create or replace function limena_private.admit_api_key()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_caller name := coalesce(nullif(current_setting('role'), 'none'), session_user);
begin
    begin
        perform from limena.tenants as t where t.id = new.tenant_id for share;
        raise exception 'the lock is let go' using errcode = 'P0002';
    exception
        when no_data_found then null;
    end;
    -- Whoever else may insert is trusted.
    if pg_has_role(v_caller, 'limena_app', 'MEMBER') and not (select r.rolsuper from pg_roles as r where r.rolname = v_caller) then
        perform limena_private.prove_again();
        if not limena.holds(new.tenant_id, new.created_by, new.scopes || 'api_keys:write'::text) then
            perform limena.require('api_keys:write');
            raise exception 'permission denied' using errcode = '42501', detail = 'api_keys:write';
        end if;
    end if;
    insert into limena.api_key_uses (tenant_id, api_key_id) values (new.tenant_id, new.id);
    return null;
end;
$$;

comment on function limena_private.admit_api_key() is
'Trigger function of api_keys: asks again, after whoever is changing the tenant, whether the caller may make this key, and makes its row in api_key_uses. Raises 28000 or 42501 when not.';
