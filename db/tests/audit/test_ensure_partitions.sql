-- limena.ensure_partitions(): the months of the log, made ahead and closed to everyone. Fails without the function, or
-- without any of the things that it does to a new partition.
begin;
select plan(23);

-- The names of the months from this one on, as many as are said.
create function pg_temp.months(p_ahead integer)
returns text[]
language sql
as $$
select array_agg('audit_logs_' || to_char(m.month, 'YYYY_MM') order by m.month)
from generate_series(
    date_trunc('month', now() at time zone 'UTC'),
    date_trunc('month', now() at time zone 'UTC') + make_interval(months => p_ahead),
    interval '1 month'
) as m (month)
$$;
create function pg_temp.partitions()
returns text[]
language sql
as $$
select array_agg(c.relname::text order by c.relname)
from pg_inherits as i
inner join pg_class as c on i.inhrelid = c.oid
where i.inhparent = 'limena.audit_logs'::regclass
$$;

select ok(pg_temp.partitions() @> pg_temp.months(3), 'a deploy makes this month and three more');
select is(
    (
        select count(*) from pg_class as c
        where c.oid = 'limena.audit_logs'::regclass and c.relkind = 'p'
    ),
    1::bigint,
    'audit_logs is partitioned'
);
select is_empty(
    $$select c.relname
    from pg_inherits as i
    inner join pg_class as c on i.inhrelid = c.oid
    where i.inhparent = 'limena.audit_logs'::regclass and pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'$$,
    'there is no default partition: it would turn each ATTACH into an exclusive lock'
);

-- Another three months.
set local timezone = 'America/Los_Angeles';
set local role limena_maintenance;
select is(limena.ensure_partitions(), 0, 'nothing to do right after');
select is(limena.ensure_partitions(6), 6, 'three more months of each log, and it says how many');
select is(limena.ensure_partitions(6), 0, 'once');
select is(limena.ensure_partitions(0), 0, 'this month was there');
reset role;
select ok(pg_temp.partitions() @> pg_temp.months(6), 'they are there');

-- Each as it has to be.
select is_empty(
    $$select i.inhrelid::regclass
    from pg_inherits as i
    inner join pg_class as c on i.inhrelid = c.oid
    where i.inhparent = 'limena.audit_logs'::regclass
        and (
            tests.row_security_of(i.inhrelid) <> 'forced' or c.relowner <> 'limena_owner'::regrole
            or exists (select tests.policies_of(i.inhrelid)) or exists (select tests.privileges_of(i.inhrelid))
        )$$,
    'each has forced row-level security, no policy, no grant, and belongs to limena_owner'
);
select is_empty(
    $$select i.inhrelid::regclass, p.attname
    from pg_inherits as i
    inner join pg_attribute as p on p.attrelid = i.inhparent and p.attnum > 0 and not p.attisdropped
    inner join pg_attribute as c on c.attrelid = i.inhrelid and c.attname = p.attname
    where i.inhparent = 'limena.audit_logs'::regclass
        and (
            to_jsonb(c.attstattarget) is distinct from to_jsonb(p.attstattarget)
            or c.attnotnull <> p.attnotnull or c.atttypid <> p.atttypid
        )$$,
    'each has the columns of the log, also what statistics they may have'
);
select is_empty(
    $$select i.inhrelid::regclass
    from pg_inherits as i
    where i.inhparent = 'limena.audit_logs'::regclass
        and not exists (
            select from pg_constraint as k
            where k.conrelid = i.inhrelid and k.contype = 'p' and k.conparentid <> 0
        )$$,
    'each has the log''s primary key'
);
select is_empty(
    $$select i.inhrelid::regclass, k.conname
    from pg_constraint as k
    inner join pg_inherits as i on i.inhparent = k.conrelid
    where k.conrelid = 'limena.audit_logs'::regclass
        and k.contype = 'c'
        and not exists (
            select from pg_constraint as c
            where c.conrelid = i.inhrelid and c.conname = k.conname and c.contype = 'c'
        )$$,
    'and its checks'
);
set local timezone = 'UTC';
select is(
    (
        select pg_get_expr(c.relpartbound, c.oid)
        from pg_class as c
        where c.oid = format('limena.%I', (pg_temp.months(0))[1])::regclass
    ),
    format(
        'FOR VALUES FROM (''%s+00'') TO (''%s+00'')',
        date_trunc('month', now() at time zone 'UTC'),
        date_trunc('month', now() at time zone 'UTC') + interval '1 month'
    ),
    'each is a month of UTC, wherever the caller is'
);

-- A row finds its month, to the microsecond.
select tests.make_tenants();
insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
select
    tests.tenant_id('a'),
    m.at,
    m.seq,
    gen_random_uuid(),
    'x.y',
    'system'
from (
    values
    (date_trunc('month', now()), -1), (date_trunc('month', now()) + interval '1 month' - interval '1 microsecond', -2),
    (date_trunc('month', now()) + interval '1 month', -3)
) as m (at, seq);
select is(
    array(
        select c.relname::text from limena.audit_logs as l inner join pg_class as c on l.tableoid = c.oid
        where l.seq < 0
        order by l.seq desc
    ),
    array[(pg_temp.months(0))[1], (pg_temp.months(0))[1], (pg_temp.months(1))[2]],
    'the first and the last moment of a month are in it'
);
select throws_ok(
    $$insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
    values (tests.tenant_id('a'), now() - interval '20 years', 0, gen_random_uuid(), 'x.y', 'system')$$,
    '23514', null, 'a row without a month is refused, not put anywhere'
);

-- What it refuses, and whom.
set local role limena_maintenance;
select
    is(
        tests.error_of(format('select limena.ensure_partitions(%L)', w.months)),
        '22023 p_months_ahead must be from 0 to 120; column months_ahead',
        format('%s months', coalesce(w.months::text, 'NULL'))
    )
from (values (null), (-1), (121), (2147483647)) as w (months);
set local role limena_app;
select is(tests.outcome('select limena.ensure_partitions()'), '42501', 'not for limena_app');
set local role limena_auth;
select is(tests.outcome('select limena.ensure_partitions()'), '42501', 'nor for limena_auth');
set local role limena_readonly;
select is(tests.outcome('select limena.ensure_partitions()'), '42501', 'nor for limena_readonly');
set local role limena_owner;
select is(limena.ensure_partitions(6), 0, 'limena_owner may: a deploy calls it');

select * from finish();
rollback;
