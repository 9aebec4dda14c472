-- Each tenant's quota as it is now, without writing anything: the ring moved on, a month that has passed gone, overdue
-- reservations given back, a trip that is over forgotten. The next one who locks the row writes the same down.
create or replace view limena.ai_quota_states
with (security_invoker = true) as
select
    l.tenant_id,
    l.is_enabled,
    l.is_allowed,
    l.calls_per_hour,
    l.tokens_per_month,
    l.max_calls_per_hour,
    l.max_tokens_per_month,
    n.at as as_of,
    coalesce(limena.ai_calls_at(q.calls, q.as_of, n.at), array_fill(0, array[61])) as calls,
    case when n.is_same_month then q.used_tokens - q.written_off_tokens else 0 end as used_tokens,
    case
        when n.is_same_month
            then
                q.reserved_tokens - case
                    when q.expires_at <= n.at
                        then
                            coalesce((
                                select sum(r.estimated_tokens)
                                from limena.ai_reservations as r
                                where
                                    r.tenant_id = q.tenant_id
                                    and r.state = 'live'
                                    and r.expires_at <= n.at
                                    and r.created_at >= n.month_begins_at
                            ), 0)
                    else 0
                end
        else 0
    end as reserved_tokens,
    case when q.trip_ends_at > n.at then q.trip_cause end as trip_cause,
    case when q.trip_ends_at > n.at then q.tripped_at end as tripped_at,
    case when q.trip_ends_at > n.at then q.trip_ends_at end as trip_ends_at,
    n.month_ends_at,
    case
        when q.recent_calls = 0 or q.as_of <= n.at - interval '61 minutes' then 0
        else coalesce((select sum(c.calls) from unnest(limena.ai_calls_at(q.calls, q.as_of, n.at)) as c (calls)), 0)
    end as recent_calls
from limena.ai_limits as l
left join limena.ai_quotas as q on l.tenant_id = q.tenant_id
cross join lateral (
    select
        m.at,
        m.begins_at at time zone 'UTC' as month_begins_at,
        (m.begins_at + interval '1 month') at time zone 'UTC' as month_ends_at,
        coalesce(date_trunc('month', q.as_of at time zone 'UTC') = m.begins_at, false) as is_same_month
    from (
        select
            c.at,
            date_trunc('month', c.at at time zone 'UTC') as begins_at
        from (select greatest(limena.ai_clock(), q.as_of) as at) as c
    ) as m
) as n;

comment on view limena.ai_quota_states is 'The AI quota of each tenant as it is now: limits, calls by minute, tokens, trip.';

grant select on limena.ai_quota_states to limena_app, limena_readonly;
