-- What the platform's retention of AI calls has passed: the oldest month of ai_usage_logs goes as a whole when there
-- are calls in more than p_months later ones. Its sums stay (ai_usage_days, ai_quota_months), and so does what
-- check_ai_quotas() compares, which is two months. The log says it to every tenant.
--
-- The clock alone removes nothing, since it can be wrong: calls say which months have been, and the clock only that
-- those are not yet to come. One that is ahead adds no month but those in which calls are made by it. Months without
-- any call do not count: where AI rests, its last months stay.
--
-- A month waits for its reservations: while one is there, closed or not, it can still be settled late (prune() takes
-- them a week after they were closed). And it waits for who reads the log, an export of minutes: nobody else is kept
-- waiting for the lock for more than half a second, and a later run takes the month.
--
-- SECURITY DEFINER because the tables belong to limena_owner. For limena_maintenance alone; it takes nothing younger
-- than three months.
create or replace function limena.drop_ai_usage(p_months integer default 24)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '500ms'
as $$
declare
    v_name name;
    v_month timestamptz;
begin
    if p_months is null or p_months not between 3 and 120 then
        raise exception 'must be from 3 to 120' using errcode = '22023', column = 'months';
    end if;
    begin
        -- One at a time: of two workers the later one finds the month gone, with the next run.
        lock table limena_private.audited_tables in share update exclusive mode nowait;
        with months as (
            select c.relname, to_timestamp(right(c.relname, 7), 'YYYY_MM') as month
            from pg_inherits as h
            inner join pg_class as c on h.inhrelid = c.oid
            where h.inhparent = 'limena.ai_usage_logs'::regclass
                and c.relname ~ '^ai_usage_logs_[0-9]{4}_[0-9]{2}$'
        )

        select m.relname, m.month into v_name, v_month
        from months as m
        where m.month < (
            select h.month
            from months as h
            where h.month <= limena.ai_clock()
                -- A value, and not EXISTS, which would be a join with all partitions of each.
                and (
                    select true
                    from limena.ai_usage_logs as l
                    where l.occurred_at >= h.month and l.occurred_at < h.month + interval '1 month'
                    limit 1
                )
            order by h.month desc
            offset p_months
            limit 1
        )
        order by m.month
        limit 1;
        if not found or exists (
            select from limena.ai_reservations as r where r.created_at < v_month + interval '1 month'
        ) then
            return null;
        end if;
        execute format('alter table limena.ai_usage_logs detach partition limena.%I', v_name);
        execute format('drop table limena.%I', v_name);
    exception when lock_not_available then
        return null;
    end;
    perform limena_private.record_event(
        p_tenant_id => null,
        p_action => 'ai_usage.removed',
        p_details => jsonb_build_object('month', to_char(v_month, 'YYYY-MM'), 'kept_months', p_months)
    );
    return to_char(v_month, 'YYYY-MM');
end;
$$;

comment on function limena.drop_ai_usage(integer) is
'Drops the oldest month of ai_usage_logs when there are calls in more than p_months later ones, and records it; returns the month, NULL when there is none or others have it. Raises 22023 unless p_months is from 3 to 120.';

grant execute on function limena.drop_ai_usage(integer) to limena_maintenance;
