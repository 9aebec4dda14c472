-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.save_ai_quota(p_quota limena.ai_quotas)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    update limena.ai_quotas as q
    set
        as_of = p_quota.as_of,
        calls = p_quota.calls,
        recent_calls = p_quota.recent_calls,
        used_tokens = p_quota.used_tokens,
        reserved_tokens = p_quota.reserved_tokens,
        written_off_tokens = p_quota.written_off_tokens,
        expires_at = p_quota.expires_at,
        warned_percent = p_quota.warned_percent,
        trip_cause = p_quota.trip_cause,
        tripped_at = p_quota.tripped_at,
        trip_ends_at = p_quota.trip_ends_at
    where q.tenant_id = p_quota.tenant_id;
end;
$$;

comment on function limena_private.save_ai_quota(limena.ai_quotas) is 'Writes a row that lock_ai_quota() handed out.';
