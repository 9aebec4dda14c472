-- The one lock of the ai domain: everything that changes a tenant's quota comes by here first, so there is one order of
-- locks and no deadlock, and whoever has the row knows that nobody else is counting. The clock is read once it is
-- theirs: of two that waited, the later one never has the earlier time.
--
-- Nobody waits for it longer than two seconds (lock_timeout counts twice: for the place at the head of the queue, and
-- for the row): whoever keeps it in a transaction of their own holds up their own tenant, and not the connections that
-- all tenants share.
--
-- Brings the row up to that time: the ring moves on, a month that has passed is closed, a trip that is over ends, and
-- reservations that are overdue expire. The caller counts on, and save_ai_quota() writes.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.lock_ai_quota(p_tenant_id uuid, p_even_if_paused boolean default true)
returns limena.ai_quotas
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    v_quota limena.ai_quotas;
    v_month timestamp;
    v_now timestamptz;
begin
    select q.* into v_quota
    from limena.ai_quotas as q
    where q.tenant_id = p_tenant_id and (p_even_if_paused or q.trip_ends_at is null or q.trip_ends_at <= limena.ai_clock())
    for update;
    if not found then
        -- An INSERT waits for whoever has the row: only where there is none. Else AI is paused, or the pause has just
        -- ended.
        if exists (select from limena.ai_quotas as q where q.tenant_id = p_tenant_id) then
            return null;
        end if;
        insert into limena.ai_quotas (tenant_id, as_of) values (p_tenant_id, limena.ai_clock()) on conflict do nothing;
        -- Now there is one, whoever made it.
        select q.* into v_quota
        from limena.ai_quotas as q
        where q.tenant_id = p_tenant_id and (p_even_if_paused or q.trip_ends_at is null or q.trip_ends_at <= limena.ai_clock())
        for update;
        if not found then
            return null;
        end if;
    end if;

    -- A clock that was set back counts in the minute and the month that were reached.
    v_now := greatest(limena.ai_clock(), v_quota.as_of);
    if date_trunc('minute', v_now, 'UTC') > v_quota.as_of then
        v_quota.calls := limena.ai_calls_at(v_quota.calls, v_quota.as_of, v_now);
        v_quota.recent_calls := (select sum(c.calls) from unnest(v_quota.calls) as c (calls));

        v_month := date_trunc('month', v_quota.as_of at time zone 'UTC');
        if v_month < date_trunc('month', v_now at time zone 'UTC') then
            insert into limena.ai_quota_months (tenant_id, month, used_tokens, reserved_tokens)
            values (p_tenant_id, v_month::date, v_quota.used_tokens, v_quota.reserved_tokens);
            v_quota.used_tokens := 0;
            v_quota.reserved_tokens := 0;
            v_quota.written_off_tokens := 0;
            v_quota.warned_percent := 0;
        end if;
    end if;
    v_quota.as_of := v_now;

    if v_quota.trip_ends_at <= v_now then
        v_quota := limena_private.end_ai_trip(v_quota, 'time');
    end if;

    if v_quota.expires_at <= v_now then
        v_quota := limena_private.expire_ai_reservations(v_quota);
    end if;
    return v_quota;
end;
$$;

comment on function limena_private.lock_ai_quota(uuid, boolean) is
'A tenant''s row of ai_quotas, locked, and brought up to the time of the lock (as_of); to be written by save_ai_quota(). With p_even_if_paused false NULL, and nothing is locked, while AI is paused. Raises 55P03 after one or two seconds of waiting.';
