-- limena.apply_retention(): what goes, what stays, and what the log says of it. Fails where anything but a whole sealed
-- segment goes, or goes early, or unrecorded.
begin;
select plan(39);

-- Who may.
select is(
    array(
        select r.rolname::text
        from pg_roles as r
        where r.rolname like 'limena\_%' and has_function_privilege(r.oid, 'limena.apply_retention(integer)', 'execute')
        order by 1
    ),
    '{limena_maintenance, limena_owner}',
    'limena_maintenance alone'
);
select tests.make_tenants();
set local role limena_app;
select is(
    tests.outcomes('select limena.apply_retention()'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody of a tenant'
);
set local role limena_readonly;
select is(tests.outcome('select limena.apply_retention()'), '42501', 'no operator who reads');
set local role limena_auth;
select is(tests.outcome('select limena.apply_retention()'), '42501', 'nor limena_auth');
set local role limena_maintenance;
select
    is(
        tests.error_of(format('select limena.apply_retention(%L::integer)', v.segments)),
        '22023 must be from 1 to 10000; column segments',
        format('%L is no number of segments', v.segments)
    )
from (values (null), (0), (-1), (10001)) as v (segments);
reset role;

-- Rows of long ago, and the partitions that they need, as the worker of that time would have made them.
create function pg_temp.write(p_tenant text, p_days integer, p_count integer default 1)
returns void
language plpgsql
as $$
declare
    v_month timestamptz := date_trunc('month', now() - make_interval(days => p_days), 'UTC');
    v_name text := 'audit_logs_' || to_char(v_month at time zone 'UTC', 'YYYY_MM');
begin
    if to_regclass('limena.' || v_name) is null then
        execute format(
            'create table limena.%1$I (like limena.audit_logs including all);'
            'alter table limena.%1$I owner to limena_owner;'
            'alter table limena.%1$I enable row level security, force row level security;'
            'alter table limena.audit_logs attach partition limena.%1$I for values from (%2$L) to (%3$L)',
            v_name, v_month, v_month + interval '1 month'
        );
    end if;
    insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
    select
        tests.tenant_id(p_tenant), now() - make_interval(days => p_days) + g.place * interval '1 millisecond',
        nextval('limena.audit_logs_seq_seq'), gen_random_uuid(), 'access.denied', 'system'
    from generate_series(1, p_count) as g (place);
end;
$$;
-- The rows of a tenant, by how many days ago they were written: 'days x how many'.
create function pg_temp.left_of(p_tenant text)
returns text
language sql
as $$
select string_agg(format('%s x %s', d.days, d.rows), ', ' order by d.days desc)
from (
    select (extract(epoch from now() - l.occurred_at) / 86400)::integer as days, count(*) as rows
    from limena.audit_logs as l
    where l.tenant_id = tests.tenant_id(p_tenant) and l.action = 'access.denied'
    group by 1
) as d
$$;
-- What the tenant's log tells of removals.
create function pg_temp.told(p_tenant text)
returns jsonb
language sql
as $$
select jsonb_agg(l.details - 'until' order by l.seq)
from limena.audit_logs as l
where l.tenant_id = tests.tenant_id(p_tenant) and l.action = 'audit_log.removed'
$$;
create function pg_temp.run(p_segments integer default 100)
returns integer
language plpgsql
as $$
declare
    v_removed integer;
begin
    set local role limena_maintenance;
    v_removed := limena.apply_retention(p_segments);
    reset role;
    return v_removed;
end;
$$;

create function pg_temp.month_of(p_days integer)
returns text
language sql
as $$
select 'audit_logs_' || to_char((now() - make_interval(days => p_days)) at time zone 'UTC', 'YYYY_MM')
$$;

-- Whatever made the tenants is of today, and would hold its segment.
delete from limena.audit_logs
where tenant_id in (tests.tenant_id('a'), tests.tenant_id('b'));
-- Three runs. What is past two years, in two segments of a; what is half past them; what is not. And a row that is past
-- them, and that nobody sealed. `gone` is in the log and no tenant any more.
select pg_temp.write('a', 800, 1000);
select pg_temp.write('a', 731, 2);
select pg_temp.write('b', 731, 3);
select pg_temp.write('gone', 731, 4);
select tests.seal();
select pg_temp.write('a', 732, 2);
select pg_temp.write('a', 729, 2);
select pg_temp.write('gone', 729, 1);
select tests.seal();
select pg_temp.write('a', 100, 2);
select pg_temp.write('b', 100, 2);
select tests.seal();
select pg_temp.write('a', 900);
update limena.tenants set audit_retention_days = 3650
where id = tests.tenant_id('b');

-- Two years, unless the tenant says otherwise.
select is(
    (
        select t.audit_retention_days from limena.tenants as t
        where t.id = tests.tenant_id('a')
    ),
    730,
    'two years are the default'
);
create temporary table removed_seal as
select s.* from limena.audit_seals as s
where s.tenant_id = tests.tenant_id('a') and s.number = 1;
select results_eq(
    'select pg_temp.run(1) from generate_series(1, 4)',
    'values (1), (1), (1), (0)',
    'a run removes as many segments as it is told to, and then there is nothing left to do'
);
select is(
    pg_temp.left_of('a'), '900 x 1, 732 x 2, 729 x 2, 100 x 2',
    'of a went what was sealed and past its time: no segment of which a row is younger, and nothing that is not sealed'
);
select is(pg_temp.left_of('gone'), '729 x 1', 'also of whoever is no tenant any more: two years');
select is(pg_temp.left_of('b'), '731 x 3, 100 x 2', 'b keeps its own for ten years');

-- What it leaves behind.
select is(
    (select sum((r.told ->> 'rows')::integer) from jsonb_array_elements(pg_temp.told('a')) as r (told)),
    1002::bigint,
    'the log of a tells how many rows went'
);
select is(
    (select jsonb_build_array(min((r.told ->> 'from_seal')::integer), max((r.told ->> 'to_seal')::integer)) from (
        select jsonb_array_elements(pg_temp.told('a')) as told
    ) as r),
    '[1, 2]',
    'and of which seals'
);
select is(
    (
        select max((l.details ->> 'until')::timestamptz) from limena.audit_logs as l
        where l.tenant_id = tests.tenant_id('a') and l.action = 'audit_log.removed'
    ),
    (
        select s.last_at from limena.audit_seals as s
        where s.tenant_id = tests.tenant_id('a') and s.number = 2
    ),
    'until when'
);
select is(pg_temp.told('gone'), '[{"from_seal": 1, "to_seal": 1, "rows": 4}]', 'the same for the other one');
select is(pg_temp.told('b'), null, 'b is told of nothing');
select results_eq(
    $$select distinct l.actor_type from limena.audit_logs as l where l.action = 'audit_log.removed'$$,
    $$values ('system')$$,
    'nobody did it in a tenant''s name'
);
select results_eq(
    $$select s.digest, s.rows_digest, s.row_count, s.first_at, s.last_at,
        s.seqs is null and s.row_digests is null, s.removed_at is not null
    from limena.audit_seals as s where s.tenant_id = tests.tenant_id('a') and s.number = 1$$,
    'select s.digest, s.rows_digest, s.row_count, s.first_at, s.last_at, true, true from removed_seal as s',
    'the seal stays, without the digests of its rows'
);
create function pg_temp.findings()
returns table (kind text, detail text)
language sql
as $$
select v.kind, v.detail
from unnest(array[tests.tenant_id('a'), tests.tenant_id('b'), tests.tenant_id('gone'), limena_private.platform_tenant_id()]) as t (id)
cross join lateral limena.verify_audit_log(t.id) as v
$$;
select is_empty('select * from pg_temp.findings()', 'each chain still verifies');

-- A shorter time counts after 30 days: whoever has an owner's session for an hour could otherwise remove the traces.
update limena.tenants set audit_retention_days = 60
where id = tests.tenant_id('b');
select is(pg_temp.run(), 0, 'a time that was shortened just now removes nothing');
update limena.tenants set audit_retention_days = 3650
where id = tests.tenant_id('b');
update limena.tenants set audit_retention_days = 60
where id = tests.tenant_id('b');
select is(pg_temp.run(), 0, 'however often it is set');
delete from limena.audit_logs
where tenant_id = tests.tenant_id('b') and action = 'tenant.updated'; -- 30 days later
select is(pg_temp.run(), 2, 'after 30 days it does');
select is(pg_temp.left_of('b'), null, 'all of b');
select is(pg_temp.told('b'), '[{"from_seal": 1, "to_seal": 2, "rows": 5}]', 'in one event');
select is_empty('select * from pg_temp.findings()', 'and each chain verifies');

-- A segment that does not hold to its seal is evidence.
update limena.tenants set audit_retention_days = 60
where id = tests.tenant_id('a');
delete from limena.audit_logs
where tenant_id = tests.tenant_id('a') and action = 'tenant.updated';
create temporary table altered as
select max(l.seq) as seq from limena.audit_logs as l
where
    l.tenant_id = tests.tenant_id('a')
    and l.occurred_at < now() - interval '731 days'
    and l.occurred_at > now() - interval '733 days';
update limena.audit_logs set details = '{"altered": true}'
where seq = (select a.seq from altered as a);
select is(pg_temp.run(), 0, 'it stays, and so does what comes after it');
select is(pg_temp.left_of('a'), '900 x 1, 732 x 2, 729 x 2, 100 x 2', 'all of it');
update limena.audit_logs set details = '{}'
where seq = (select a.seq from altered as a);
select is(pg_temp.run(), 2, 'put right, it goes');
select is(pg_temp.left_of('a'), '900 x 1', 'what nobody has sealed is still there');
select is_empty('select * from pg_temp.findings()', 'and each chain verifies');

-- Sealed at last, in a segment with what was written today.
select cmp_ok(tests.seal(), '>', 1, '(all is sealed)');
select is(pg_temp.run(), 0, 'it stays with its segment');
select is_empty('select * from pg_temp.findings()', 'which verifies, too');

-- Months.
select
    is(
        to_regclass('limena.' || pg_temp.month_of(800)), null, 'a month that is empty and past the longest time is gone'
    );
select isnt(to_regclass('limena.' || pg_temp.month_of(900)), null, 'one that has a row is not');
select isnt(to_regclass('limena.' || pg_temp.month_of(100)), null, 'nor one that is empty and younger');
select is(
    (
        select count(*) from limena.audit_logs as l
        where
            l.tenant_id = limena_private.platform_tenant_id()
            and l.action = 'audit_log.partition_dropped'
            and l.details = jsonb_build_object('partition', pg_temp.month_of(800))
    ),
    1::bigint,
    'the platform''s log tells of it, once'
);

select * from finish();
rollback;
