-- What became of a mail. After a failure it is tried again later and later: a minute, then twice as long each time, at
-- most six hours; after 12 attempts, twenty hours in all, it is abandoned. What the receiving server refused for good
-- is abandoned at once (RFC 5321, 4.5.4.1).
--
-- SECURITY DEFINER because no role may write the outbox. For limena_maintenance alone.
create or replace function limena.settle_mail(
    p_tenant_id uuid,
    p_id uuid,
    p_is_delivered boolean,
    p_is_final boolean default false
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update limena.outbox as o
    set
        delivered_at = case when p_is_delivered then clock_timestamp() end,
        abandoned_at = case when not p_is_delivered and (p_is_final or o.attempts >= 12) then clock_timestamp() end,
        due_at = clock_timestamp() + least(interval '6 hours', make_interval(mins => (2 ^ (o.attempts - 1))::integer))
    where o.tenant_id = p_tenant_id and o.id = p_id and o.delivered_at is null and o.abandoned_at is null;
end;
$$;

comment on function limena.settle_mail(uuid, uuid, boolean, boolean) is
'Marks a claimed mail as delivered, as to be tried again, or as abandoned.';

grant execute on function limena.settle_mail(uuid, uuid, boolean, boolean) to limena_maintenance;
