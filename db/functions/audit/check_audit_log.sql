-- What `limena doctor` asks about the log: the chains of all tenants, without their rows; the rows of the newest seal
-- of the hundred tenants that were sealed last; the ends of the chains, as the runs of the last week told them; and
-- whether sealing comes along. verify_audit_log() looks at everything.
--
-- SECURITY DEFINER because no role may read the log of all tenants. For limena_maintenance alone.
create or replace function limena.check_audit_log()
returns setof text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select format('tenant %s: seal %s does not follow from the one before: run limena audit verify', c.tenant_id, c.number)
    from (
        select
            s.tenant_id,
            s.number,
            s.digest <> limena_private.seal_digest(
                lag(s.digest) over chain,
                -- Without the digests of rows, 40 kB a seal, which it does not look at and a whole row would fetch.
                row(
                    s.tenant_id, s.number, s.from_seq, s.to_seq, s.row_count, s.first_at, s.last_at, null, null,
                    s.rows_digest, s.digest, s.sealed_at, s.removed_at
                )::limena.audit_seals
            ) as is_altered,
            s.number <> coalesce(lag(s.number) over chain, 0) + 1 as is_after_gap
        from limena.audit_seals as s
        window chain as (partition by s.tenant_id order by s.number)
    ) as c
    where c.is_altered or c.is_after_gap;

    return query
    select format('tenant %s: seal %s is not there: run limena audit verify', h.tenant_id, h.number)
    from (
        select k.name as tenant_id, max(k.number::integer) as number
        from limena.audit_logs as l
        cross join lateral jsonb_each_text(l.details -> 'tenants') as k (name, number)
        where l.tenant_id = limena_private.platform_tenant_id()
            and l.action = 'audit_log.sealed'
            and l.occurred_at > clock_timestamp() - interval '7 days'
        group by k.name
    ) as h
    where not exists (
        select from limena.audit_seals as s where s.tenant_id = h.tenant_id::uuid and s.number = h.number
    );

    return query
    select format('tenant %s: %s: %s', t.tenant_id, f.kind, f.detail)
    from (
        select s.tenant_id, max(s.number) as number
        from limena.audit_seals as s
        group by s.tenant_id
        order by max(s.sealed_at) desc
        limit 100
    ) as t
    cross join lateral limena_private.verify_audit_seals(
        p_tenant_id => t.tenant_id, p_after => t.number - 1, p_limit => 1
    ) as f
    where f.kind is not null;

    return query
    select format(
        'rows have waited since %s to be sealed: a transaction that was open then, or is prepared, is not over',
        to_char(min(f.made_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
    )
    from limena_private.audit_fences as f
    where f.xid > pg_snapshot_xmin(pg_current_snapshot())
    having min(f.made_at) < clock_timestamp() - interval '15 minutes';

    if exists (
        select from limena.audit_logs as l
        where l.tenant_id = limena_private.platform_tenant_id()
            and l.action <> 'audit_log.sealed'
            and l.occurred_at < clock_timestamp() - interval '1 day'
            and l.seq > (select coalesce(max(s.to_seq), 0) from limena.audit_seals as s)
    ) then
        return next 'rows of more than a day ago are not sealed: no limena worker runs';
    end if;

    return query
    select 'the sequence of the log hands out numbers in batches, which sealing does not allow for'::text
    from pg_sequence as s
    where s.seqrelid = 'limena.audit_logs_seq_seq'::regclass and (s.seqcache <> 1 or s.seqincrement <> 1 or s.seqcycle);
end;
$$;

comment on function limena.check_audit_log() is
'What is wrong with the audit log, as far as it can be told quickly: broken chains, newest seals that their rows do not hold to, sealing that does not come along. No row: nothing was found.';

grant execute on function limena.check_audit_log() to limena_maintenance;
