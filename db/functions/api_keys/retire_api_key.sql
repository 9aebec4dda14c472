-- The end of a key that has a successor. It can only ever be set once, and never beyond the key's own end: no key lives
-- longer by it.
--
-- SECURITY DEFINER because limena_app may update nothing of a key but revoked_at: with a right to set other times, SQL
-- as limena_app could give an old key a longer life.
create or replace function limena.retire_api_key(p_id uuid, p_replaced_by uuid, p_grace_seconds integer)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('api_keys:write');
    v_retires_at timestamptz;
begin
    update limena.api_keys as k
    set
        retires_at = least(k.expires_at, clock_timestamp() + make_interval(secs => greatest(p_grace_seconds, 0))),
        replaced_by = p_replaced_by
    where k.tenant_id = v_tenant_id
        and k.id = p_id
        and k.id <> p_replaced_by
        and k.revoked_at is null
        and k.retires_at is null
        and (k.expires_at is null or k.expires_at > clock_timestamp())
    returning k.retires_at into v_retires_at;
    if not found then
        raise exception 'The key has ended, or was rotated before.' using errcode = 'LM002';
    end if;
    return v_retires_at;
end;
$$;

comment on function limena.retire_api_key(uuid, uuid, integer) is
'Lets an API key of the current tenant end after a grace, in favour of another one. Raises LM002 when there is none that lives and has no successor, 23503 when the other one is none of the current tenant.';

grant execute on function limena.retire_api_key(uuid, uuid, integer) to limena_app;
