-- Makes the months of audit_logs and ai_usage_logs ahead of time. Each is created apart and then attached: CREATE
-- TABLE … PARTITION OF would lock the table exclusively, ATTACH lets writers go on. A partition carries its own
-- forced row-level security, no policy and no grant, so that nobody reaches its rows but through the table; and its
-- own statistics targets, which LIKE does not copy.
--
-- SECURITY DEFINER because the tables belong to limena_owner. It takes a number and nothing else.
create or replace function limena.ensure_partitions(p_months_ahead integer default 3)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    v_parent text;
    v_month timestamptz;
    v_name text;
    v_column text;
    v_made integer := 0;
begin
    if p_months_ahead is null or p_months_ahead not between 0 and 120 then
        raise exception 'p_months_ahead must be from 0 to 120' using errcode = '22023', column = 'months_ahead';
    end if;
    -- One at a time: two workers would make the same month. Not an advisory lock: those can be taken, and held, by
    -- anyone.
    lock table limena_private.audited_tables in share update exclusive mode;

    for v_parent, v_month in
        select p.name, m.month
        from unnest(array['audit_logs', 'ai_usage_logs']) as p (name)
        cross join generate_series(
            date_trunc('month', clock_timestamp()),
            date_trunc('month', clock_timestamp()) + make_interval(months => p_months_ahead),
            interval '1 month'
        ) as m (month)
    loop
        v_name := v_parent || '_' || to_char(v_month, 'YYYY_MM');
        continue when exists (
            select from pg_inherits as h
            where h.inhparent = format('limena.%I', v_parent)::regclass and h.inhrelid = to_regclass(format('limena.%I', v_name))
        );

        execute format('create table limena.%I (like limena.%I including all)', v_name, v_parent);
        for v_column in
            select a.attname
            from pg_attribute as a
            where a.attrelid = format('limena.%I', v_parent)::regclass and a.attnum > 0 and a.attstattarget = 0
        loop
            execute format('alter table limena.%I alter column %I set statistics 0', v_name, v_column);
        end loop;
        execute format('alter table limena.%I enable row level security', v_name);
        execute format('alter table limena.%I force row level security', v_name);
        execute format(
            'alter table limena.%I attach partition limena.%I for values from (%L) to (%L)',
            v_parent, v_name, v_month, v_month + interval '1 month'
        );
        v_made := v_made + 1;
    end loop;
    if v_made > 0 then
        perform limena_private.record_event(
            p_tenant_id => null,
            p_action => 'maintenance.partitions_made',
            p_details => jsonb_build_object('partitions', v_made)
        );
    end if;
    return v_made;
end;
$$;

comment on function limena.ensure_partitions(integer) is
'Makes the partitions of audit_logs and ai_usage_logs for this month and the months ahead that are missing, and returns how many. Raises 22023 unless p_months_ahead is from 0 to 120.';

grant execute on function limena.ensure_partitions(integer) to limena_maintenance;
