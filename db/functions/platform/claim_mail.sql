-- Work for one worker: mail that is due, leased for five minutes. Any number of workers ask at once, and each row goes
-- to one (SKIP LOCKED). A worker that dies leaves its lease to run out: mail is sent at least once, and its Message-ID,
-- made of the row's id, makes repeats harmless. What is worth nothing any more is abandoned instead: a link after its
-- hour would lead nowhere.
--
-- SECURITY DEFINER because no role may read the outbox. For limena_maintenance alone.
create or replace function limena.claim_mail(p_limit integer default 10)
returns table (tenant_id uuid, id uuid, template text, recipient text, parameters jsonb, attempts integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_limit integer := limena.page_limit(p_limit);
begin
    -- Materialized: a plan may run a subselect more than once, and this one would find other rows each time.
    with over as materialized (
        select d.tenant_id, d.id
        from limena.outbox as d
        where d.delivered_at is null and d.abandoned_at is null and d.due_at <= clock_timestamp() and d.expires_at <= clock_timestamp()
        order by d.due_at
        limit 1000
        for update skip locked
    )

    update limena.outbox as o
    set abandoned_at = clock_timestamp()
    from over
    where o.tenant_id = over.tenant_id and o.id = over.id;

    return query
    with due as materialized (
        select d.tenant_id, d.id
        from limena.outbox as d
        where d.delivered_at is null
            and d.abandoned_at is null
            and d.due_at <= clock_timestamp()
            and (d.expires_at is null or d.expires_at > clock_timestamp())
        order by d.due_at
        limit v_limit
        for update skip locked
    )

    update limena.outbox as o
    set attempts = o.attempts + 1, due_at = clock_timestamp() + interval '5 minutes'
    from due
    where o.tenant_id = due.tenant_id and o.id = due.id
    returning o.tenant_id, o.id, o.template, o.recipient, o.parameters, o.attempts;
end;
$$;

comment on function limena.claim_mail(integer) is 'Leases up to p_limit mails that are due, for five minutes. Raises 22023 unless p_limit is from 1 to 200.';

grant execute on function limena.claim_mail(integer) to limena_maintenance;
