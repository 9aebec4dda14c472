-- limena.verify_audit_log() and verify_audit_segments(): who may ask, and what is found of what a superuser did to the
-- log. Fails without the digests, the chain, or the platform's record of each run. Every column and every way to alter
-- the log: api/tests/test_sealing.py.
begin;
select plan(35);

-- Who may.
select is(
    array(
        select format('%s %s', p.proname, r.rolname)
        from pg_proc as p
        cross join pg_roles as r
        where
            p.pronamespace = 'limena'::regnamespace
            and p.proname in ('verify_audit_log', 'verify_audit_segments')
            and r.rolname like 'limena\_%'
            and has_function_privilege(r.oid, p.oid, 'execute')
        order by 1
    ),
    '{verify_audit_log limena_maintenance, verify_audit_log limena_owner,
    verify_audit_segments limena_maintenance, verify_audit_segments limena_owner}',
    'limena_maintenance alone'
);
select tests.make_tenants();
set local role limena_app;
select is(
    tests.outcomes('select * from limena.verify_audit_log(tests.tenant_id(''a''))'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'tenants have a procedure of their own'
);
set local role limena_readonly;
select is(tests.outcome('select * from limena.verify_audit_log(tests.tenant_id(''a''))'), '42501', 'no operator');
set local role limena_auth;
select is(tests.outcome('select * from limena.verify_audit_log(tests.tenant_id(''a''))'), '42501', 'nor limena_auth');
reset role;

-- Two runs: two seals of a and one of b, then another one of a. And a row that is not sealed yet.
select
    limena_private.record_event(
        p_tenant_id => tests.tenant_id('a'),
        p_action => 'access.denied',
        p_details => jsonb_build_object('place', g.place)
    )
from generate_series(1, 1100) as g (place);
select cmp_ok(tests.seal(), '>', 1100, '(a and b are sealed)');
select limena_private.record_event(p_tenant_id => tests.tenant_id('a'), p_action => 'access.denied')
from generate_series(1, 10);
select cmp_ok(tests.seal(), '>=', 10, '(and a once more)');
select limena_private.record_event(p_tenant_id => tests.tenant_id('a'), p_action => 'operator.access_opened');

set local role limena_maintenance;
select
    is_empty(
        format('select * from limena.verify_audit_log(%L)', t.id), 'nothing was altered, nothing is found in ' || t.name
    )
from (
    values (tests.tenant_id('a'), 'a'),
    (tests.tenant_id('b'), 'b'),
    ('00000000-0000-4000-8000-000000000000', 'the platform')
) as t (id, name);
select is_empty('select * from limena.verify_audit_log(gen_random_uuid())', 'nor in what never was');
select is(
    tests.error_of('select * from limena.verify_audit_log(null)'),
    '22023 must name a tenant; column tenant_id',
    'NULL is no tenant'
);
select is(tests.error_of(c.statement), '22023 ' || c.error, c.statement)
from (
    values
    ('select * from limena.verify_audit_segments(null)', 'must name a tenant; column tenant_id'),
    ('select * from limena.verify_audit_segments(gen_random_uuid(), 0, 0)', 'must be from 1 to 1000; column limit'),
    ('select * from limena.verify_audit_segments(gen_random_uuid(), 0, 1001)', 'must be from 1 to 1000; column limit'),
    ('select * from limena.verify_audit_segments(gen_random_uuid(), 0, null)', 'must be from 1 to 1000; column limit')
) as c (statement, error);
select results_eq(
    $$select v.number, v.rows > 100 from limena.verify_audit_segments(tests.tenant_id('a'), 0, 2) as v$$,
    'values (1, true), (2, true)',
    'in pieces: a row for each seal that was looked at'
);
select results_eq(
    $$select v.number, v.rows from limena.verify_audit_segments(tests.tenant_id('a'), 2, 100) as v$$,
    'values (3, 10)',
    'and the rest after that'
);
reset role;

-- What is found, and how it is named. Each act is undone.
create function pg_temp.row_of(p_place integer)
returns bigint
language sql
stable
as $$
select l.seq from limena.audit_logs as l
where l.tenant_id = tests.tenant_id('a') and l.details ->> 'place' = p_place::text
$$;
create function pg_temp.found(p_act text, p_tenant text default 'a')
returns text
language plpgsql
as $$
declare
    v_found text;
begin
    begin
        execute p_act;
        select string_agg(
            v.kind || case when v.detail ~ 'row \d+' then ' ' || coalesce(
                (
                    select l.details ->> 'place' from limena.audit_logs as l
                    where l.seq = substring(v.detail, 'row (-?\d+)')::bigint
                    limit 1
                ),
                '?'
            ) else '' end,
            ', '
        )
        into v_found
        from limena.verify_audit_log(tests.tenant_id(p_tenant)) as v;
        raise exception '%', coalesce(v_found, 'nothing') using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;

select is(pg_temp.found(a.act), a.found, a.description)
from (
    values
    (
        'update limena.audit_logs set details = ''{"place": "x"}'' where seq = (select pg_temp.row_of(700))',
        'row altered x',
        'a value that was altered'
    ),
    (
        'delete from limena.audit_logs where seq = (select pg_temp.row_of(700))',
        'row missing ?',
        'a row that was deleted'
    ),
    (
        $$insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type, details)
        select l.tenant_id, l.occurred_at, -7, gen_random_uuid(), l.action, l.actor_type, '{"place": "new"}'
        from limena.audit_logs as l where l.seq = (select pg_temp.row_of(700))$$,
        'row added', 'a row that was inserted'
    ),
    (
        $$update limena.audit_logs as l
        set details = o.details
        from limena.audit_logs as o
        where l.seq in ((select pg_temp.row_of(5)), (select pg_temp.row_of(1050)))
            and o.seq in ((select pg_temp.row_of(5)), (select pg_temp.row_of(1050)))
            and o.seq <> l.seq$$,
        'row altered 1050, row altered 5', 'two that were swapped'
    ),
    (
        $$update limena.audit_seals set digest = sha256('x') where tenant_id = tests.tenant_id('a') and number = 2$$,
        'seal altered, seal altered',
        'a seal that was rewritten: neither it nor the next follows'
    ),
    (
        $$update limena.audit_seals
        set row_count = row_count - 1, seqs = array_remove(seqs, (select pg_temp.row_of(700)))
        where tenant_id = tests.tenant_id('a') and number = 1$$,
        'seal altered', 'a row that was taken out of its seal'
    ),
    (
        $$delete from limena.audit_seals where tenant_id = tests.tenant_id('a') and number = 3$$,
        repeat('row added ?, ', 10) || 'seal missing',
        'the last seal, gone: nothing vouches for its rows, and the platform''s log knows of it'
    ),
    (
        $$with gone as (
            delete from limena.audit_seals where tenant_id = tests.tenant_id('a') and number = 3 returning seqs
        )
        delete from limena.audit_logs as l using gone as g where l.seq = any(g.seqs)$$,
        'seal missing', 'together with its rows'
    ),
    (
        $$delete from limena.audit_logs where tenant_id = tests.tenant_id('a');
        delete from limena.audit_seals where tenant_id = tests.tenant_id('a')$$,
        'seal missing', 'all there was'
    ),
    (
        $$delete from limena.audit_logs as l using limena.audit_seals as s
        where s.tenant_id = tests.tenant_id('a') and s.number = 1 and l.tenant_id = s.tenant_id and l.seq = any(s.seqs);
        update limena.audit_seals set removed_at = now(), seqs = null, row_digests = null
        where tenant_id = tests.tenant_id('a') and number = 1$$,
        'removed unrecorded', 'a segment that is gone as if by retention'
    ),
    (
        $$update limena.audit_logs set action = 'access.granted'
        where tenant_id = tests.tenant_id('a') and action = 'operator.access_opened'$$,
        'nothing', 'what is not sealed yet can be altered unnoticed, which is why sealing does not wait long'
    )
) as a (act, found, description);
select matches(
    pg_temp.found('truncate limena.audit_logs'), '^(row missing \?, )+', 'a log that was emptied: each of its rows'
);
select is(
    pg_temp.found('update limena.audit_logs set details = ''{}'' where seq = (select pg_temp.row_of(700))', 'b'),
    'nothing',
    'what was done to one tenant is not found in another''s log'
);
select is(
    (
        select array_agg(v.kind)
        from limena.verify_audit_segments(limena_private.platform_tenant_id(), 0, 1000) as v
        where v.kind is not null
    ),
    null,
    'nor in the platform''s'
);

-- The finding itself: the first one first, with the row's id.
update limena.audit_logs set ip = '192.0.2.1'
where seq in ((select pg_temp.row_of(3)), (select pg_temp.row_of(1080)));
select results_eq(
    'select v.kind, v.row_id, v.detail from limena.verify_audit_log(tests.tenant_id(''a'')) as v',
    $$select 'row altered', l.id, format('seal %s, row %s (access.denied)', s.number, l.seq)
    from limena.audit_logs as l
    inner join limena.audit_seals as s on l.tenant_id = s.tenant_id and l.seq = any(s.seqs)
    where l.seq in ((select pg_temp.row_of(3)), (select pg_temp.row_of(1080)))
    order by l.seq$$,
    'the seal, the row, its action and its id; nothing else that stands in it'
);
select results_eq(
    'select v.kind from limena.verify_audit_segments(tests.tenant_id(''a''), 0, 1) as v',
    'values (''row altered''), (null)',
    'in pieces, with the seal that it belongs to'
);
update limena.audit_logs set ip = null
where seq in ((select pg_temp.row_of(3)), (select pg_temp.row_of(1080)));
select is_empty('select * from limena.verify_audit_log(tests.tenant_id(''a''))', 'put back, nothing is found');

-- Digests do not follow what a session has set.
set local timezone = 'Asia/Kathmandu';
set local datestyle = 'German';
set local intervalstyle = 'sql_standard';
set local bytea_output = 'escape';
set local extra_float_digits = 0;
select is_empty('select * from limena.verify_audit_log(tests.tenant_id(''a''))', 'nor with other settings');

select * from finish();
rollback;
