-- limena.seal_audit_log(): what a run seals, what it leaves, and what the seals say. Fails without the fences, the
-- chain, or the event of each run. Writers at the same time: api/tests/test_sealing.py.
begin;
select plan(41);

-- Who may.
select is(
    array(
        select r.rolname::text
        from pg_roles as r
        where r.rolname like 'limena\_%' and has_function_privilege(r.oid, 'limena.seal_audit_log()', 'execute')
        order by 1
    ),
    '{limena_maintenance, limena_owner}',
    'limena_maintenance alone'
);
select tests.seal(); -- whatever is there
select tests.make_tenants();
set local role limena_app;
select is(
    tests.outcomes('select limena.seal_audit_log()'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody of a tenant'
);
set local role limena_readonly;
select is(tests.outcome('select limena.seal_audit_log()'), '42501', 'no operator who reads');
set local role limena_auth;
select is(tests.outcome('select limena.seal_audit_log()'), '42501', 'nor limena_auth');
set local role limena_maintenance;
select is(
    tests.error_of('select limena.seal_audit_log()'),
    '25001 the log is sealed in a transaction that has not written yet',
    'and not in a transaction that has written: its own rows would be among those that are still open'
);
reset role;
select tests.let_seal();

-- What a run finds: rows of the tenants a and b, and of the platform; more of a, written after the first fence.
create function pg_temp.write(p_tenant text, p_count integer default 1)
returns void
language sql
as $$
select limena_private.record_event(
    p_tenant_id => tests.tenant_id(p_tenant), p_action => 'access.denied', p_details => jsonb_build_object('place', g.place)
)
from generate_series(1, p_count) as g (place)
$$;
create function pg_temp.seals(p_tenant text)
returns table (number integer, row_count integer, seqs bigint[])
language sql
as $$
select s.number, s.row_count, s.seqs from limena.audit_seals as s where s.tenant_id = tests.tenant_id(p_tenant) order by 1
$$;
-- The rows of a tenant in the order in which they are sealed.
create function pg_temp.rows_of(p_tenant text)
returns bigint[]
language sql
as $$
select array_agg(l.seq order by l.occurred_at, l.seq) from limena.audit_logs as l where l.tenant_id = tests.tenant_id(p_tenant)
$$;
create function pg_temp.sealed_rows_of(p_tenant text)
returns bigint[]
language sql
as $$
select array_agg(u.seq order by s.number, u.place)
from pg_temp.seals(p_tenant) as s
cross join lateral unnest(s.seqs) with ordinality as u (seq, place)
$$;
create function pg_temp.last_number()
returns bigint
language sql
as $$ select s.last_value from limena.audit_logs_seq_seq as s $$;

delete from limena_private.audit_fences;
set local role limena_maintenance;
select is(limena.seal_audit_log(), 0, 'the first run seals nothing');
reset role;
select results_eq(
    'select f.seq, f.xid from limena_private.audit_fences as f',
    'select pg_temp.last_number(), pg_current_xact_id()',
    'it sets a fence: at the last number that was drawn, with a transaction id that is higher than each writer''s'
);
create temporary table fenced as
select
    pg_temp.last_number() as place,
    pg_temp.rows_of('a') as a,
    pg_temp.rows_of('b') as b;
select pg_temp.write('a', 3);

update limena_private.audit_fences set xid = '9000000000000000000';
select is(limena.seal_audit_log(), 0, 'a fence lets nothing through before all older transactions are over');
select is_empty('select * from pg_temp.seals(''a'')', 'nothing');
select results_eq(
    'select f.seq, f.xid from limena_private.audit_fences as f',
    'select pg_temp.last_number(), pg_current_xact_id()',
    'and one that no transaction of this server can have set, out of a dump, is replaced'
);

-- The fence of the first run.
delete from limena_private.audit_fences;
insert into limena_private.audit_fences (seq, xid) select
    f.place,
    '3'
from fenced as f;
create temporary table run as select limena.seal_audit_log() as rows; -- noqa: RF04
select
    cmp_ok(
        (select r.rows from run as r),
        '>=',
        (select cardinality(f.a) + cardinality(f.b) from fenced as f),
        'it tells how many rows it sealed'
    );
select results_eq(
    'select * from pg_temp.seals(''a'')',
    'select 1, cardinality(f.a), f.a from fenced as f',
    'a has its first seal, over its rows up to the fence and none after it'
);
select results_eq(
    'select * from pg_temp.seals(''b'')',
    'select 1, cardinality(f.b), f.b from fenced as f',
    'b has its own, and its own numbers'
);
select is_empty(
    $$select s.tenant_id, s.number, l.tenant_id
    from limena.audit_seals as s
    inner join limena.audit_logs as l on l.seq = any(s.seqs)
    where l.tenant_id <> s.tenant_id$$,
    'no row is in another tenant''s seal'
);
select results_eq(
    'select f.seq from limena_private.audit_fences as f', 'select pg_temp.last_number() - 1',
    'its fence is gone, and another one set: for what had been written when the run began'
);

-- What the run tells of itself, in the platform's log.
create function pg_temp.last_run()
returns jsonb
language sql
as $$
select l.details
from limena.audit_logs as l
where l.action = 'audit_log.sealed' and l.tenant_id = limena_private.platform_tenant_id()
order by l.seq desc
limit 1
$$;
select is(
    pg_temp.last_run() - '{digest, tenants, seals}'::text[],
    (select jsonb_build_object('to_seq', f.place, 'rows', r.rows) from fenced as f cross join run as r),
    'how far it came, and how many rows'
);
select is(
    pg_temp.last_run() -> 'tenants',
    (
        select jsonb_object_agg(s.tenant_id, s.number)
        from limena.audit_seals as s
        cross join fenced as f
        where s.to_seq = f.place
    ),
    'the number of each tenant''s last seal, so that an end that is cut off is missed'
);
select is(
    pg_temp.last_run() ->> 'digest',
    (
        select encode(sha256(string_agg(s.digest, ''::bytea order by s.tenant_id, s.number)), 'hex')
        from limena.audit_seals as s
        cross join fenced as f
        where s.to_seq = f.place
    ),
    'and a digest over the run''s seals, so that none can be written anew'
);
select is_empty(
    format(
        $$select l.id
        from limena.audit_logs as l
        where l.action = 'audit_log.sealed' and l.tenant_id in (%L, %L)$$,
        tests.tenant_id('a'), tests.tenant_id('b')
    ),
    'no tenant learns of it'
);

-- The next run.
update limena_private.audit_fences set xid = '3';
select cmp_ok(limena.seal_audit_log(), '>=', 3, 'a second run seals what came after');
select results_eq(
    'select s.number, s.row_count from pg_temp.seals(''a'') as s',
    'select * from (select 1, cardinality(f.a) from fenced as f union all values (2, 3)) as s order by 1',
    'in a second seal of a'
);
select is((select count(*) from pg_temp.seals('b')), 1::bigint, 'b, which had no more, has none');
select is(
    pg_temp.sealed_rows_of('a'),
    pg_temp.rows_of('a'),
    'each row of a is in one seal'
);
select is_empty(
    $$select c.to_seq
    from (
        select s.from_seq, s.to_seq, lag(s.to_seq) over (order by s.to_seq) as before
        from (select distinct s.from_seq, s.to_seq from limena.audit_seals as s) as s
    ) as c
    where c.from_seq <> coalesce(c.before, 0)$$,
    'each run begins where the one before ended'
);
update limena_private.audit_fences set xid = '3';
select is(limena.seal_audit_log(), 0, 'a run that would seal nothing but the event of another one seals nothing');
update limena_private.audit_fences set xid = '3';
select is(limena.seal_audit_log(), 0, 'however often');

-- What the digests are made of.
select is_empty(
    $$select c.tenant_id, c.number
    from (
        select s.*, lag(s.digest) over (partition by s.tenant_id order by s.number) as before
        from limena.audit_seals as s
        where s.tenant_id in (tests.tenant_id('a'), tests.tenant_id('b'))
    ) as c
    inner join limena.audit_seals as s on c.tenant_id = s.tenant_id and c.number = s.number
    where c.digest <> limena_private.seal_digest(c.before, s)$$,
    'a seal''s digest goes over the one before'
);
select is_empty(
    $$select s.tenant_id, s.number
    from limena.audit_seals as s
    where s.rows_digest <> sha256(convert_to(s.seqs::text, 'UTF8') || s.row_digests)
        or octet_length(s.row_digests) <> 32 * s.row_count$$,
    'and over those of its rows, 32 bytes each'
);
select results_eq(
    $$select d.digest
    from limena_private.audit_digests as d
    where d.tenant_id = tests.tenant_id('a') and d.seq = (select max(s.seqs[2]) from pg_temp.seals('a') as s)$$,
    $$select substr(s.row_digests, 33, 32)
    from limena.audit_seals as s
    where s.tenant_id = tests.tenant_id('a') and s.number = 2$$,
    'in the order of the numbers'
);
select is_empty(
    $$select s.number
    from limena.audit_seals as s
    where s.tenant_id = tests.tenant_id('a')
        and s.number > 1
        and s.digest = limena_private.seal_digest(null, s)$$,
    'so that no chain can be begun anew in its middle'
);

-- Numbers that were drawn and rolled back.
select is(tests.outcome('select pg_temp.write(''a'', 5)'), '1', '(five rows that are taken back)');
select pg_temp.write('a', 2);
select cmp_ok(tests.seal(), '>=', 2, 'a gap holds nothing up');
select is_empty('select * from limena.verify_audit_log(tests.tenant_id(''a''))', 'and is no missing row');

-- Segments of 1,000.
select pg_temp.write('b', 2100);
select cmp_ok(tests.seal(), '>=', 2100, 'many rows of one tenant');
select results_eq(
    'select s.number, s.row_count from pg_temp.seals(''b'') as s where s.number > 1',
    'values (2, 1000), (3, 1000), (4, 100)',
    'are sealed by the thousand'
);
select is(
    pg_temp.sealed_rows_of('b'),
    pg_temp.rows_of('b'),
    'in the order of the log'
);
select is((select count(*) from pg_temp.seals('a')), 3::bigint, 'and the other tenant''s chain does not grow by it');

-- Numbers that were drawn for nothing, by the thousand: a bulk that was rolled back, or whoever wants to stop sealing.
create function pg_temp.draw(p_count integer)
returns bigint
language sql
as $$ select setval('limena.audit_logs_seq_seq', s.last_value + p_count) from limena.audit_logs_seq_seq as s $$;
select pg_temp.write('a');
select pg_temp.draw(30000);
select pg_temp.write('a');
select is(tests.seal(), 3, 'what is far apart is sealed, and the event of the run before');
select pg_temp.draw(30000);
select pg_temp.write('a');
select is(tests.seal(), 2, 'what comes after nothing but such an event is sealed, too');

-- No run is long, whatever piled up: 20,000 rows at most.
insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
select
    tests.tenant_id('a'),
    clock_timestamp(),
    nextval('limena.audit_logs_seq_seq'),
    gen_random_uuid(),
    'access.denied',
    'system'
from generate_series(1, 20001);
select is(tests.seal(), 20002, 'a great many are sealed');
select results_eq(
    $$select l.details -> 'rows'
    from limena.audit_logs as l
    where l.action = 'audit_log.sealed'
    order by l.seq desc
    limit 2$$,
    $$values ('2'::jsonb), ('20000')$$,
    'in two runs'
);

select * from finish();
rollback;
