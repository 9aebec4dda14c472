-- Removes what each tenant's retention has passed: whole sealed segments, the oldest first, and says so in the tenant's
-- log; the seals stay, without the digests of rows, so that the chain still closes. A segment that does not hold to its
-- seal is left as it is, and so is what comes after it: it is evidence. Partitions that are empty and older than the
-- longest retention go, too.
--
-- A shorter retention counts after 30 days, which the log itself tells: whoever has an owner's session for an hour
-- could otherwise have the traces of months removed before anybody looks.
--
-- At most p_segments a run; returns how many, 0 when there is nothing left to do.
--
-- SECURITY DEFINER because no role may delete from the log. For limena_maintenance alone; what it removes is the
-- tenants' own settings' matter, and 30 days old at the least (audit_logs_delete_owner).
create or replace function limena.apply_retention(p_segments integer default 100)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
    v_tenant record;
    v_seal limena.audit_seals;
    v_before timestamptz;
    v_from integer;
    v_to integer;
    v_rows integer;
    v_removed integer := 0;
    v_partition record;
begin
    if p_segments is null or p_segments not between 1 and 10000 then
        raise exception 'must be from 1 to 10000' using errcode = '22023', column = 'segments';
    end if;
    -- One at a time, and not while a run seals.
    lock table limena_private.audit_fences in share update exclusive mode;

    for v_tenant in
        select o.tenant_id, o.number, clock_timestamp() - make_interval(days => r.days) as before
        from (
            select s.tenant_id, min(s.number) as number, min(s.last_at) as last_at
            from limena.audit_seals as s
            where s.removed_at is null
            group by s.tenant_id
            having min(s.last_at) < clock_timestamp() - interval '30 days'
        ) as o
        cross join lateral (
            select greatest(
                coalesce((select t.audit_retention_days from limena.tenants as t where t.id = o.tenant_id), 730),
                (
                    select max((l.changes -> 'audit_retention_days' ->> 0)::integer)
                    from limena.audit_logs as l
                    where l.tenant_id = o.tenant_id
                        and l.entity_type = 'tenant'
                        and l.occurred_at > clock_timestamp() - interval '30 days'
                )
            ) as days
        ) as r
        where o.last_at < clock_timestamp() - make_interval(days => r.days)
    loop
        v_from := null;
        v_rows := 0;
        for v_seal in
            select s.* from limena.audit_seals as s
            where s.tenant_id = v_tenant.tenant_id and s.number >= v_tenant.number
            order by s.number
        loop
            exit when v_removed >= p_segments or v_seal.removed_at is not null or v_seal.last_at >= v_tenant.before;
            exit when exists (
                select from limena_private.verify_audit_seals(
                    p_tenant_id => v_seal.tenant_id, p_after => v_seal.number - 1, p_limit => 1
                ) as f
                where f.kind is not null and f.number = v_seal.number
            );
            delete from limena.audit_logs as l
            where l.tenant_id = v_seal.tenant_id
                and l.occurred_at between v_seal.first_at and v_seal.last_at
                and l.seq = any (v_seal.seqs);
            update limena.audit_seals as s
            set removed_at = clock_timestamp(), seqs = null, row_digests = null
            where s.tenant_id = v_seal.tenant_id and s.number = v_seal.number;
            v_from := coalesce(v_from, v_seal.number);
            v_to := v_seal.number;
            v_rows := v_rows + v_seal.row_count;
            v_before := v_seal.last_at;
            v_removed := v_removed + 1;
        end loop;
        if v_from is not null then
            perform limena_private.record_event(
                p_tenant_id => v_tenant.tenant_id,
                p_action => 'audit_log.removed',
                p_details => jsonb_build_object('from_seal', v_from, 'to_seal', v_to, 'rows', v_rows, 'until', v_before)
            );
        end if;
        exit when v_removed >= p_segments;
    end loop;

    for v_partition in
        select c.relname as name
        from pg_inherits as h
        inner join pg_class as c on h.inhrelid = c.oid
        where h.inhparent = 'limena.audit_logs'::regclass
            and c.relname ~ '^audit_logs_[0-9]{4}_[0-9]{2}$'
            and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' < clock_timestamp() - make_interval(
                days => (select max(t.audit_retention_days) from limena.tenants as t)
            )
        order by c.relname
    loop
        -- Its rows are seen through the log: a partition has no policy of its own. None comes any more: rows are written
        -- with the time of the clock.
        continue when exists (
            select from limena.audit_logs as l
            where l.occurred_at >= to_timestamp(right(v_partition.name, 7) || '+00', 'YYYY_MMTZH')
                and l.occurred_at < to_timestamp(right(v_partition.name, 7) || '+00', 'YYYY_MMTZH') + interval '1 month'
        );
        -- An export reads all months, for minutes. What was removed above stays removed; the month goes with a later run.
        begin
            execute format('alter table limena.audit_logs detach partition limena.%I', v_partition.name);
            execute format('drop table limena.%I', v_partition.name);
        exception when lock_not_available then
            exit;
        end;
        perform limena_private.record_event(
            p_tenant_id => null,
            p_action => 'audit_log.partition_dropped',
            p_details => jsonb_build_object('partition', v_partition.name)
        );
    end loop;
    return v_removed;
end;
$$;

comment on function limena.apply_retention(integer) is
'Removes, up to p_segments a run, the sealed segments whose rows are all older than the tenant''s audit_retention_days, records it there, and drops partitions that are empty and past the longest retention; returns how many segments went. Raises 22023 unless p_segments is from 1 to 10000.';

grant execute on function limena.apply_retention(integer) to limena_maintenance;
