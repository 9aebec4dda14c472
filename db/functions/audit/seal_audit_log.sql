-- Seals what is final and not yet sealed, at most 20,000 rows a run; then sets a fence for a later run. Writers never
-- wait for it, and it waits for no writer.
--
-- Why no row is missed: a writer has its transaction id before it draws seq (record_changes, record_event). A run reads
-- the sequence before it has an id of its own, and then takes one: so whoever drew a seq up to that place has a lower
-- id. Once the oldest running transaction (prepared ones too) has a higher one, all of those rows are there, or never
-- will be.
--
-- What it writes about itself: one event a run in the platform's log, with a digest over the run's seals and the number
-- of each tenant's last one, so that the end of a chain can neither be written anew nor be cut off, rows and all,
-- without altering the platform's chain. A run that would seal nothing but such events seals nothing.
--
-- SECURITY DEFINER because no role may read the log of all tenants or write seals. For limena_maintenance alone.
create or replace function limena.seal_audit_log()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_place bigint;
    v_done bigint;
    v_fence bigint;
    v_to bigint;
    v_is_worth_it boolean;
    v_segment record;
    v_last limena.audit_seals;
    v_seal limena.audit_seals;
    v_seals integer := 0;
    v_rows integer := 0;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'the log is sealed under READ COMMITTED only' using errcode = '25001';
    end if;
    -- One at a time.
    lock table limena_private.audit_fences in share update exclusive mode;
    if pg_current_xact_id_if_assigned() is not null then
        raise exception 'the log is sealed in a transaction that has not written yet' using errcode = '25001';
    end if;
    select case when s.is_called then s.last_value else 0 end into v_place from limena.audit_logs_seq_seq as s;
    select coalesce(max(s.to_seq), 0) into v_done from limena.audit_seals as s;

    select max(f.seq) into v_fence
    from limena_private.audit_fences as f
    where f.xid <= pg_snapshot_xmin(pg_current_snapshot());
    delete from limena_private.audit_fences as f where f.seq < v_fence;

    if v_fence > v_done then
        -- By rows, not by numbers: of those, many may have been drawn for nothing.
        select
            case when count(*) < 20000 then v_fence else max(r.seq) end,
            coalesce(bool_or(not r.is_own), false)
        into v_to, v_is_worth_it
        from (
            select l.seq, l.action = 'audit_log.sealed' and l.tenant_id = limena_private.platform_tenant_id() as is_own
            from limena.audit_logs as l
            where l.seq + 0 > v_done and l.seq + 0 <= v_fence
            order by l.seq
            limit 20000
        ) as r;

        if v_is_worth_it then
            for v_segment in
                select
                    r.tenant_id,
                    r.segment,
                    count(*)::integer as row_count,
                    min(r.occurred_at) as first_at,
                    max(r.occurred_at) as last_at,
                    array_agg(r.seq order by r.place) as seqs,
                    string_agg(r.digest, ''::bytea order by r.place) as row_digests
                from (
                    select p.*, (p.place - 1) / 1000 as segment
                    from (
                        select d.*, row_number() over (partition by d.tenant_id order by d.occurred_at, d.seq) as place
                        from limena_private.audit_digests as d
                        where d.seq + 0 > v_done and d.seq + 0 <= v_to
                    ) as p
                ) as r
                group by r.tenant_id, r.segment
                order by r.tenant_id, r.segment
            loop
                if v_last.tenant_id is distinct from v_segment.tenant_id then
                    select s.* into v_last
                    from limena.audit_seals as s
                    where s.tenant_id = v_segment.tenant_id
                    order by s.number desc
                    limit 1;
                end if;
                v_seal := null;
                v_seal.tenant_id := v_segment.tenant_id;
                v_seal.number := coalesce(v_last.number, 0) + 1;
                v_seal.from_seq := v_done;
                v_seal.to_seq := v_to;
                v_seal.row_count := v_segment.row_count;
                v_seal.first_at := v_segment.first_at;
                v_seal.last_at := v_segment.last_at;
                v_seal.seqs := v_segment.seqs;
                v_seal.row_digests := v_segment.row_digests;
                v_seal.rows_digest := sha256(convert_to(v_segment.seqs::text, 'UTF8') || v_segment.row_digests);
                v_seal.digest := limena_private.seal_digest(v_last.digest, v_seal);
                v_seal.sealed_at := clock_timestamp();
                insert into limena.audit_seals values (v_seal.*);
                v_last := v_seal;
                v_seals := v_seals + 1;
                v_rows := v_rows + v_seal.row_count;
            end loop;

            delete from limena_private.audit_fences as f where f.seq <= v_to;
            perform limena_private.record_event(
                p_tenant_id => null,
                p_action => 'audit_log.sealed',
                p_details => (
                    select jsonb_build_object(
                        'to_seq', v_to, 'seals', v_seals, 'rows', v_rows,
                        'digest', encode(sha256(string_agg(s.digest, ''::bytea order by s.tenant_id, s.number)), 'hex'),
                        'tenants', jsonb_object_agg(s.tenant_id, s.number order by s.number)  -- the last one stays
                    )
                    from limena.audit_seals as s
                    where s.to_seq = v_to
                )
            );
        end if;
    end if;

    -- A fence from the future is of another server, out of a dump.
    if exists (select from limena_private.audit_fences as f where f.xid >= pg_snapshot_xmax(pg_current_snapshot())) then
        delete from limena_private.audit_fences as f where f.xid > pg_current_xact_id();
    end if;
    -- Ten open ones are enough while something holds them up.
    if v_place > v_done
        and not exists (select from limena_private.audit_fences as f where f.seq >= v_place)
        and (select count(*) from limena_private.audit_fences as f) < 10 then
        insert into limena_private.audit_fences (seq, xid) values (v_place, pg_current_xact_id());
    end if;
    return v_rows;
end;
$$;

comment on function limena.seal_audit_log() is
'Seals rows of the audit log whose transactions are all over, and returns how many. What was written lately is sealed by a later run. Raises 25001 unless READ COMMITTED and the transaction has not written yet.';

grant execute on function limena.seal_audit_log() to limena_maintenance;
