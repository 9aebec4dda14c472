-- What has served its time: counters an hour after the last failure, connections under way after ten minutes, AI
-- reservations a week after they were closed, registrations, which hold a hash and whatever address somebody typed, a
-- day after their link was good, overdue invitations, resets and mail after 30 days, refresh tokens and sessions 30
-- days after their end. In batches, so that no run holds locks for long, and by indexes that are for nothing else (the
-- second conditions, always true, are theirs). Returns how many rows went, 0 when there is nothing left.
--
-- Each batch is a materialized query: a subselect with LIMIT and SKIP LOCKED, which a plan may run more than once,
-- finds the next thousand each time.
--
-- SECURITY DEFINER because no role may delete. For limena_maintenance alone. It takes no argument.
create or replace function limena.prune()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
    v_total integer := 0;
    -- clock_timestamp() itself is volatile, and no condition of an index.
    v_now timestamptz := clock_timestamp();
begin
    with expired as materialized (
        select d.subject
        from limena.log_in_failures as d
        where d.last_failed_at < v_now - interval '1 hour'
        limit 1000
        for update skip locked
    )

    delete from limena.log_in_failures as f
    using expired as e
    where f.subject = e.subject;
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;

    with expired as materialized (
        select d.id
        from limena.registrations as d
        where d.expires_at < v_now - interval '1 day' and octet_length(d.token_hash) = 32
        limit 1000
        for update skip locked
    )

    delete from limena.registrations as r
    using expired as e
    where r.id = e.id;
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;

    with expired as materialized (
        select d.tenant_id, d.id
        from limena.invitations as d
        where d.expires_at < v_now - interval '30 days' and octet_length(d.token_hash) = 32
        limit 1000
        for update skip locked
    )

    delete from limena.invitations as i
    using expired as e
    where i.tenant_id = e.tenant_id and i.id = e.id;
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;

    with expired as materialized (
        select d.id
        from limena.password_resets as d
        where d.expires_at < v_now - interval '30 days' and octet_length(d.token_hash) = 32
        limit 1000
        for update skip locked
    )

    delete from limena.password_resets as r
    using expired as e
    where r.id = e.id;
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;

    with expired as materialized (
        select d.tenant_id, d.id
        from limena.outbox as d
        where coalesce(d.delivered_at, d.abandoned_at) < v_now - interval '30 days' and d.recipient <> ''
        limit 1000
        for update skip locked
    )

    delete from limena.outbox as o
    using expired as e
    where o.tenant_id = e.tenant_id and o.id = e.id;
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;

    -- A connection that nobody finished within its ten minutes.
    with expired as materialized (
        select d.tenant_id, d.id
        from limena.integration_flows as d
        where d.expires_at < v_now
        limit 1000
        for update skip locked
    )

    delete from limena.integration_flows as f
    using expired as e
    where f.tenant_id = e.tenant_id and f.id = e.id;
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;

    with expired as materialized (
        select d.tenant_id, d.id
        from limena.ai_reservations as d
        where d.closed_at < v_now - interval '7 days'
        limit 1000
        for update skip locked
    )

    delete from limena.ai_reservations as r
    using expired as e
    where r.tenant_id = e.tenant_id and r.id = e.id;
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;

    -- The tokens and the last use go with their session.
    with expired as materialized (
        select d.id
        from limena.sessions as d
        where least(d.ended_at, d.expires_at) < v_now - interval '30 days' and octet_length(d.secret_hash) = 32
        limit 1000
        for update skip locked
    )

    delete from limena.sessions as s
    using expired as e
    where s.id = e.id;
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;

    -- Each audited row has its own; this is for the rest, counters and the like.
    if v_total > 0 then
        perform limena_private.record_event(
            p_tenant_id => null,
            p_action => 'maintenance.pruned',
            p_details => jsonb_build_object('rows', v_total)
        );
    end if;
    return v_total;
end;
$$;

comment on function limena.prune() is 'Deletes, 1,000 rows a table at a time, what is over for long; returns how many rows. 0: nothing is left to do.';

grant execute on function limena.prune() to limena_maintenance;
