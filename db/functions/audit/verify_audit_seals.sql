-- Holds the rows of a tenant's log to their seals, and the seals to each other: at most p_limit seals, those after
-- number p_after. With the last seal come the questions about the whole: rows that no seal knows, seals that were
-- taken off the end. Nothing that decides is a time that stands in no digest (sealed_at, removed_at): whoever makes a
-- seal anew sets those, too.
--
-- What is found: `seal missing`, `seal altered`, `row missing`, `row altered`, `row added`, `removed unrecorded` (rows
-- that are gone as if by retention, without its event). A row that was swapped with another shows as two altered ones.
-- Not found: what a superuser does who writes every later seal of the tenant and of the platform anew; rows that nobody
-- sealed yet; and rows made up with a number that is sealed later, whatever time they claim.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.verify_audit_seals(p_tenant_id uuid, p_after integer, p_limit integer)
returns table (kind text, row_id uuid, seq bigint, occurred_at timestamptz, detail text, number integer, rows integer)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_seal limena.audit_seals;
    v_previous limena.audit_seals;
    v_number integer := p_after;
    v_sealed_to bigint := (select coalesce(max(s.to_seq), 0) from limena.audit_seals as s);
    v_known bigint;
    v_there bigint;
    v_run record;
    v_finding text;
begin
    select s.* into v_previous from limena.audit_seals as s where s.tenant_id = p_tenant_id and s.number = p_after;

    for v_seal in
        select s.* from limena.audit_seals as s
        where s.tenant_id = p_tenant_id and s.number > p_after
        order by s.number
        limit p_limit
    loop
        -- The chain.
        if v_seal.number <> v_number + 1 then
            return query select 'seal missing', null::uuid, null::bigint, null::timestamptz,
                format('seal %s is not there', v_number + 1), v_number + 1, 0;
        end if;
        v_finding := case
            when v_seal.digest <> limena_private.seal_digest(v_previous.digest, v_seal)
                and v_seal.number = v_number + 1 then 'its digest does not follow from its fields and the seal before'
            when v_seal.removed_at is null and (
                v_seal.rows_digest <> sha256(convert_to(v_seal.seqs::text, 'UTF8') || v_seal.row_digests)
                or cardinality(v_seal.seqs) <> v_seal.row_count
                or octet_length(v_seal.row_digests) <> 32 * v_seal.row_count
            ) then 'its rows'' digests are not those that it was made with'
        end;
        if v_finding is not null then
            return query select 'seal altered', null::uuid, null::bigint, v_seal.first_at,
                format('seal %s: %s', v_seal.number, v_finding), v_seal.number, 0;
        end if;

        -- Its rows, where it is still to be believed. Those of a moment in which two runs met are told apart by seq.
        if v_seal.removed_at is null and v_finding is null then
            return query
            select
                f.kind, f.id, f.seq, coalesce(f.occurred_at, v_seal.first_at),
                format('seal %s, row %s%s', v_seal.number, f.seq, coalesce(' (' || f.action || ')', '')),
                v_seal.number, 0
            from (
                select
                    case
                        when d.seq is null then 'row missing'
                        when k.seq is null then 'row added'
                        when d.digest <> k.digest then 'row altered'
                    end as kind,
                    d.id,
                    coalesce(k.seq, d.seq) as seq,
                    d.occurred_at,
                    d.action
                from (
                    select u.seq, substr(v_seal.row_digests, (32 * (u.place - 1) + 1)::integer, 32) as digest
                    from unnest(v_seal.seqs) with ordinality as u (seq, place)
                ) as k
                full join (
                    select g.* from limena_private.audit_digests as g
                    where g.tenant_id = p_tenant_id
                        and g.occurred_at between v_seal.first_at and v_seal.last_at
                        and g.seq > v_seal.from_seq
                        and g.seq <= v_seal.to_seq
                        -- Two seals of one run may meet within a microsecond.
                        and (g.occurred_at, g.seq) >= (v_seal.first_at, v_seal.seqs[1])
                        and (g.occurred_at, g.seq) <= (v_seal.last_at, v_seal.seqs[cardinality(v_seal.seqs)])
                ) as d on k.seq = d.seq
            ) as f
            where f.kind is not null
            order by f.seq;
        -- Retention takes the oldest first, and its event goes only with a later segment.
        elsif v_seal.removed_at is not null and (
            v_seal.last_at > v_seal.removed_at - interval '30 days'
            or v_previous.number = v_seal.number - 1 and v_previous.removed_at is null
            or not exists (
                select from limena.audit_logs as l
                where l.tenant_id = p_tenant_id
                    and l.action = 'audit_log.removed'
                    and v_seal.number between (l.details ->> 'from_seal')::integer and (l.details ->> 'to_seal')::integer
            ) and not exists (
                select from limena.audit_seals as s
                where s.tenant_id = p_tenant_id
                    and s.number > v_seal.number
                    and s.removed_at is not null
                    and s.last_at >= v_seal.removed_at
            )
        ) then
            return query select 'removed unrecorded', null::uuid, null::bigint, v_seal.first_at,
                format('seal %s: its %s rows are gone, and no event of retention says so', v_seal.number, v_seal.row_count),
                v_seal.number, 0;
        end if;

        return query select null::text, null::uuid, null::bigint, v_seal.last_at, null::text, v_seal.number, v_seal.row_count;
        v_previous := v_seal;
        v_number := v_seal.number;
    end loop;

    if exists (select from limena.audit_seals as s where s.tenant_id = p_tenant_id and s.number > v_number) then
        return;
    end if;

    -- The whole. One count first: it reads the index alone.
    select coalesce(sum(s.row_count), 0) into v_known
    from limena.audit_seals as s
    where s.tenant_id = p_tenant_id and s.removed_at is null;
    select count(*) into v_there
    from limena.audit_logs as l
    where l.tenant_id = p_tenant_id and l.seq <= v_sealed_to;
    if v_known <> v_there then
        return query
        with strangers as materialized (
            select l.id, l.seq, l.occurred_at, l.action
            from limena.audit_logs as l
            left join (
                select u.seq, s.first_at, s.last_at
                from limena.audit_seals as s
                cross join lateral unnest(s.seqs) as u (seq)
                where s.tenant_id = p_tenant_id
            ) as k on l.seq = k.seq
            where l.tenant_id = p_tenant_id
                and l.seq <= v_sealed_to
                and (k.seq is null or l.occurred_at not between k.first_at and k.last_at)
        )
        select 'row added', l.id, l.seq, l.occurred_at, format('no seal knows row %s (%s)', l.seq, l.action), null::integer, 0
        from strangers as l
        -- Those that are where a seal has looked are named with it: the very same bounds.
        where not exists (
            select from limena.audit_seals as s
            where s.tenant_id = p_tenant_id
                and s.removed_at is null
                and l.seq > s.from_seq
                and l.seq <= s.to_seq
                and (l.occurred_at, l.seq) >= (s.first_at, s.seqs[1])
                and (l.occurred_at, l.seq) <= (s.last_at, s.seqs[cardinality(s.seqs)])
        )
        order by l.seq;
    end if;

    -- The end of the chain, as the platform's log has it: the run of the tenant's last seal, told by the event with the
    -- lowest number (one that was made up later has a higher one, or is no seal's), and the last seal that any run made.
    select
        (array_agg(e.details ->> 'digest' order by e.seq) filter (
            where (e.details ->> 'to_seq')::bigint = v_previous.to_seq
        ))[1] as digest,
        max((e.details -> 'tenants' ->> p_tenant_id::text)::integer) as number
    into v_run
    from limena.audit_logs as e
    where e.tenant_id = limena_private.platform_tenant_id()
        and e.action = 'audit_log.sealed'
        and e.occurred_at >= coalesce(v_previous.last_at - interval '1 hour', '-infinity');
    if v_run.number > v_number then
        return query select 'seal missing', null::uuid, null::bigint, v_previous.last_at,
            format('seals %s to %s are not there, and the platform''s log tells of them', v_number + 1, v_run.number),
            null::integer, 0;
    end if;
    if v_previous.tenant_id is not null then
        -- That event goes with the platform's retention.
        if v_run.digest is null and not exists (
            select from limena.audit_seals as s
            where s.tenant_id = limena_private.platform_tenant_id()
                and s.removed_at is not null
                and s.last_at >= v_previous.last_at
        ) then
            return query select 'seal altered', null::uuid, null::bigint, v_previous.first_at,
                format('the platform''s log knows nothing of the run in which seal %s was made', v_previous.number),
                v_previous.number, 0;
        elsif v_run.digest <> (
            select coalesce(encode(sha256(string_agg(s.digest, ''::bytea order by s.tenant_id, s.number)), 'hex'), '')
            from limena.audit_seals as s
            where s.to_seq = v_previous.to_seq
        ) then
            return query select 'seal altered', null::uuid, null::bigint, v_previous.first_at,
                format('the platform''s log has another digest of the run in which seal %s was made', v_previous.number),
                v_previous.number, 0;
        end if;
    end if;
    if p_tenant_id = limena_private.platform_tenant_id() then
        return query
        select 'seal missing', null::uuid, null::bigint, e.occurred_at, 'the seals of the last run are not there', null::integer, 0
        from (
            select l.occurred_at, (l.details ->> 'to_seq')::bigint as to_seq
            from limena.audit_logs as l
            where l.tenant_id = p_tenant_id and l.action = 'audit_log.sealed'
            order by l.occurred_at desc, l.seq desc
            limit 1
        ) as e
        where e.to_seq > v_sealed_to;
    end if;
end;
$$;

comment on function limena_private.verify_audit_seals(uuid, integer, integer) is
'Verifies up to p_limit seals of a tenant after number p_after: one row a finding, and one with kind NULL for each seal that was looked at.';
