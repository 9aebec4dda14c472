-- limena_private.record_changes(): whatever changes a row writes one row into the log, in the same transaction, without
-- secrets. Fails without the function, or without one of the four triggers that audit_table() makes.
begin;
select plan(51);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');

-- A table of each kind of value, its child, and one that has no tenant, and columns that are called as the function
-- calls its rows.
set local role limena_owner;
create table limena.things (
    tenant_id uuid not null,
    id integer not null,
    name text,
    secret_hash bytea,
    at timestamptz,
    span interval,
    real double precision,
    data jsonb,
    done_at timestamptz,
    seen integer,
    primary key (tenant_id, id)
);
create table limena.parts (
    tenant_id uuid not null,
    id integer not null,
    thing_id integer,
    primary key (tenant_id, id),
    foreign key (tenant_id, thing_id) references limena.things (tenant_id, id)
    on update cascade on delete cascade
);
create table limena.globals (id integer primary key, name text, n jsonb, o jsonb, r jsonb, c jsonb);
grant insert, update, delete, select on limena.things to limena_app;
select limena_private.audit_table(
    p_table => 'limena.things', p_entity_type => 'thing', p_key_columns => '{tenant_id, id}', p_entity_column => 'id',
    p_redacted_columns => '{secret_hash}',
    p_column_actions => '[["done_at", "thing.done"], ["name", "thing.renamed"]]',
    p_ignored_columns => '{seen}'
);
select limena_private.audit_table(
    p_table => 'limena.parts', p_entity_type => 'part', p_key_columns => '{tenant_id, id}', p_entity_column => 'id'
);
select limena_private.audit_table(
    p_table => 'limena.globals', p_entity_type => 'global', p_key_columns => '{id}', p_entity_column => 'id',
    p_scope => 'platform', p_scope_column => null
);
reset role;

-- What was added to the log since the last time: 'a: action entity changes', in the order of the rows' ids.
create temporary table logged as select l.id from limena.audit_logs as l;
create function pg_temp.added()
returns text[]
language plpgsql
as $$
declare
    v_lines text[];
begin
    v_lines := array(
        select concat_ws(
            ' ',
            (select replace(t.name, 'Tenant ', '') from limena.tenants as t where t.id = l.tenant_id) || ':',
            l.action, l.entity_type, l.entity_id, l.changes - 'tenant_id'
        )
        from limena.audit_logs as l
        where l.id not in (select g.id from logged as g)
        order by l.entity_type desc, l.entity_id, l.action, l.tenant_id = tests.tenant_id('b'), l.seq
    );
    insert into logged
    select l.id from limena.audit_logs as l where l.id not in (select g.id from logged as g);
    return v_lines;
end;
$$;

-- INSERT.
insert into limena.things (tenant_id, id, name) values (tests.tenant_id('a'), 1, 'one');
select is(
    pg_temp.added(),
    array['a: thing.created thing 1 {"id": [null, 1], "name": [null, "one"]}'],
    'INSERT: what is not NULL'
);
insert into limena.things (tenant_id, id)
select
    tests.tenant_id(t.name),
    i.id
from generate_series(2, 4) as i (id)
cross join (values ('a'), ('b')) as t (name);
select is(
    pg_temp.added(),
    array[
        'a: thing.created thing 2 {"id": [null, 2]}', 'b: thing.created thing 2 {"id": [null, 2]}',
        'a: thing.created thing 3 {"id": [null, 3]}', 'b: thing.created thing 3 {"id": [null, 3]}',
        'a: thing.created thing 4 {"id": [null, 4]}', 'b: thing.created thing 4 {"id": [null, 4]}'
    ],
    'many rows of several tenants: one row each, each in its tenant''s log'
);
insert into limena.things (tenant_id, id) select
    tests.tenant_id('a'),
    9
where false;
select is(pg_temp.added(), '{}', 'an INSERT of nothing: nothing');

-- UPDATE.
update limena.things set real = 1.5
where tenant_id = tests.tenant_id('a') and id = 2;
select is(
    pg_temp.added(),
    array['a: thing.updated thing 2 {"real": [null, 1.5]}'],
    'UPDATE: what changed, old and new'
);
update limena.things set data = '{"x": 1}'
where id = 3;
select is(
    pg_temp.added(),
    array['a: thing.updated thing 3 {"data": [null, {"x": 1}]}', 'b: thing.updated thing 3 {"data": [null, {"x": 1}]}'],
    'of two rows with the same id each in its own log'
);
update limena.things set data = data, real = real, id = id;
select is(pg_temp.added(), '{}', 'an UPDATE that changes nothing: nothing');
update limena.things set real = 2
where tenant_id = tests.tenant_id('a') and id <= 2;
select is(
    pg_temp.added(),
    array['a: thing.updated thing 1 {"real": [null, 2]}', 'a: thing.updated thing 2 {"real": [1.5, 2]}'],
    'each row has its own old value'
);
update limena.things set real = case id when 1 then 2 else 3 end
where tenant_id = tests.tenant_id('a') and id <= 2;
select is(pg_temp.added(), array['a: thing.updated thing 2 {"real": [2, 3]}'], 'of several rows those that changed');
update limena.things set data = 'null'
where id = 4 and tenant_id = tests.tenant_id('a');
select is(pg_temp.added(), '{}', 'known limit: the log cannot tell JSON''s null from NULL');
update limena.things set id = 20
where tenant_id = tests.tenant_id('a') and id = 2;
select is(
    pg_temp.added(),
    array[
        'a: thing.deleted thing 2 {"id": [2, null], "real": [3, null]}',
        'a: thing.created thing 20 {"id": [null, 20], "real": [null, 3]}'
    ],
    'a key that changes shows as one that went and one that came'
);
update limena.things set tenant_id = tests.tenant_id('b')
where id = 20;
select is(
    pg_temp.added(),
    array[
        'b: thing.created thing 20 {"id": [null, 20], "real": [null, 3]}',
        'a: thing.deleted thing 20 {"id": [20, null], "real": [3, null]}'
    ],
    'a row that changes its tenant goes from one log and comes in the other'
);

-- An action of its own for a column of its own.
update limena.things set done_at = '2026-01-01T00:00:00Z'
where tenant_id = tests.tenant_id('a') and id = 1;
select is(
    pg_temp.added(),
    array['a: thing.done thing 1 {"done_at": [null, "2026-01-01T00:00:00+00:00"]}'],
    'a column with an action: that action'
);
update limena.things set done_at = null
where tenant_id = tests.tenant_id('a') and id = 1;
select is(
    pg_temp.added(),
    array['a: thing.updated thing 1 {"done_at": ["2026-01-01T00:00:00+00:00", null]}'],
    'taken back: an update like any other'
);
update
    limena.things set
    name = 'eins',
    done_at = '2026-01-01T00:00:00Z'
where tenant_id = tests.tenant_id('a') and id = 1;
select is(
    pg_temp.added(),
    array['a: thing.done thing 1 {"name": ["one", "eins"], "done_at": [null, "2026-01-01T00:00:00+00:00"]}'],
    'of two such columns the first that is named says what happened; both are shown'
);
insert into limena.things (tenant_id, id, done_at) values (tests.tenant_id('a'), 5, '2026-01-01T00:00:00Z');
select is(
    pg_temp.added(
    ), array['a: thing.created thing 5 {"id": [null, 5], "done_at": [null, "2026-01-01T00:00:00+00:00"]}'
    ],
    'what is created is created'
);

-- A column that is not recorded.
update limena.things set seen = 1
where tenant_id = tests.tenant_id('a') and id = 5;
select is(pg_temp.added(), '{}', 'an ignored column is no event');
update limena.things set seen = 2, real = 5
where tenant_id = tests.tenant_id('a') and id = 5;
select is(
    pg_temp.added(), array['a: thing.updated thing 5 {"real": [null, 5]}'], 'and is not shown beside others'
);

-- Secrets.
insert into limena.things (tenant_id, id, secret_hash) values (tests.tenant_id('a'), 6, 'marked one');
update limena.things set secret_hash = 'marked two'
where id = 6;
update limena.things set secret_hash = null
where id = 6;
update limena.things set secret_hash = 'marked three', real = 1
where id = 6;
delete from limena.things
where id = 6;
select is(
    pg_temp.added(),
    array[
        'a: thing.created thing 6 {"id": [null, 6], "secret_hash": [null, "[redacted]"]}',
        'a: thing.deleted thing 6 {"id": [6, null], "real": [1, null], "secret_hash": ["[redacted]", null]}',
        'a: thing.updated thing 6 {"secret_hash": ["[redacted]", "[redacted]"]}',
        'a: thing.updated thing 6 {"secret_hash": ["[redacted]", null]}',
        'a: thing.updated thing 6 {"real": [null, 1], "secret_hash": [null, "[redacted]"]}'
    ],
    'a secret: that it came, changed and went, never what it is'
);
select is_empty(
    format(
        $$select l.id from limena.audit_logs as l where l::text ~ 'marked (one|two|three)' or l::text ~ '%s'$$,
        (
            select string_agg(encode(m.secret::bytea, 'hex'), '|')
            from (values ('marked one'), ('marked two'), ('marked three')) as m (secret)
        )
    ),
    'no row of the log has it, in whatever form'
);

-- INSERT … ON CONFLICT DO UPDATE, and MERGE: each row as what it came to.
insert into limena.things as t (tenant_id, id, real)
values (tests.tenant_id('a'), 3, 7), (tests.tenant_id('a'), 7, 7)
on conflict (tenant_id, id) do update set real = excluded.real;
select is(
    pg_temp.added(),
    array[
        'a: thing.updated thing 3 {"real": [null, 7]}', 'a: thing.created thing 7 {"id": [null, 7], "real": [null, 7]}'
    ],
    'ON CONFLICT DO UPDATE: one created, one updated'
);
insert into limena.things (tenant_id, id) values (tests.tenant_id('a'), 7) on conflict do nothing;
select is(pg_temp.added(), '{}', 'ON CONFLICT DO NOTHING: nothing');
merge into limena.things as t
using (values (3, 'change'), (7, 'remove'), (8, 'add')) as s (id, what)
    on t.tenant_id = tests.tenant_id('a') and t.id = s.id
when matched and s.what = 'remove' then delete
when matched then update set real = 8
when not matched then insert (tenant_id, id) values (tests.tenant_id('a'), s.id);
select is(
    pg_temp.added(),
    array[
        'a: thing.updated thing 3 {"real": [7, 8]}', 'a: thing.deleted thing 7 {"id": [7, null], "real": [7, null]}',
        'a: thing.created thing 8 {"id": [null, 8]}'
    ],
    'MERGE: one updated, one deleted, one created'
);

-- A statement with several parts.
with gone as (
    delete from limena.things as t
    where t.tenant_id = tests.tenant_id('a') and t.id = 8 returning t.*
)

insert into limena.things (tenant_id, id) select
    g.tenant_id,
    80
from gone as g;
select is(
    pg_temp.added(),
    array['a: thing.deleted thing 8 {"id": [8, null]}', 'a: thing.created thing 80 {"id": [null, 80]}'],
    'WITH: each part'
);

-- Cascades of foreign keys.
insert into limena.parts (tenant_id, id, thing_id)
values (tests.tenant_id('a'), 1, 80), (tests.tenant_id('a'), 2, 80), (tests.tenant_id('b'), 1, 3);
select pg_temp.added();
update limena.things set id = 81
where id = 80;
select is(
    pg_temp.added(),
    array[
        'a: thing.deleted thing 80 {"id": [80, null]}', 'a: thing.created thing 81 {"id": [null, 81]}',
        'a: part.updated part 1 {"thing_id": [80, 81]}', 'a: part.updated part 2 {"thing_id": [80, 81]}'
    ],
    'ON UPDATE CASCADE: the children too'
);
delete from limena.things
where id = 81;
select is(
    pg_temp.added(),
    array[
        'a: thing.deleted thing 81 {"id": [81, null]}',
        'a: part.deleted part 1 {"id": [1, null], "thing_id": [81, null]}',
        'a: part.deleted part 2 {"id": [2, null], "thing_id": [81, null]}'
    ],
    'ON DELETE CASCADE: the children too'
);

-- DELETE and TRUNCATE.
delete from limena.things
where tenant_id = tests.tenant_id('b') and id > 3;
select is(
    pg_temp.added(),
    array[
        'b: thing.deleted thing 20 {"id": [20, null], "real": [3, null]}', 'b: thing.deleted thing 4 {"id": [4, null]}'
    ],
    'DELETE: what was there'
);
delete from limena.things
where id = 12345;
select is(pg_temp.added(), '{}', 'a DELETE of nothing: nothing');
truncate limena.things, limena.parts;
select is(
    pg_temp.added(), array['platform: thing.truncated thing {}', 'platform: part.truncated part {}'],
    'TRUNCATE: that it happened, in the platform''s log, once for each table'
);
truncate limena.things cascade;
select is(
    pg_temp.added(),
    array['platform: thing.truncated thing {}', 'platform: part.truncated part {}'],
    'and for each that it cascades to'
);

-- COPY is an INSERT of many. (COPY FROM STDIN needs a client; INSERT … SELECT above is the same trigger.) A table
-- without a tenant:
insert into limena.globals values (1, 'x');
update limena.globals set name = 'y';
delete from limena.globals;
select is(
    pg_temp.added(),
    array[
        'platform: global.created global 1 {"id": [null, 1], "name": [null, "x"]}',
        'platform: global.deleted global 1 {"id": [1, null], "name": ["y", null]}',
        'platform: global.updated global 1 {"name": ["x", "y"]}'
    ],
    'what belongs to no tenant is in the platform''s log'
);

-- Values are written the same whatever the session is set to.
create function pg_temp.written(p_setting text, p_value text)
returns jsonb
language plpgsql
as $$
declare
    v_changes jsonb;
begin
    begin
        perform set_config(p_setting, p_value, true);
        insert into limena.things (tenant_id, id, at, span, real)
        values (
            tests.tenant_id(
                'a'), 1, timestamptz 'epoch' + 1767225600.123456 * interval '1 second', make_interval(1,
                2,
                0,
                3,
                4,
                5,
                6.7
            ),
            0.1::double precision + 0.2::double precision
        );
        select l.changes - '{tenant_id, id}'::text[] into v_changes
        from limena.audit_logs as l
        where l.entity_type = 'thing'
        order by l.seq desc
        limit 1;
        raise exception '%', v_changes using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;
select
    is(
        pg_temp.written(s.setting, s.value),
        '{
        "at": [null, "2026-01-01T00:00:00.123456+00:00"],
        "span": [null, "P1Y2M3DT4H5M6.7S"],
        "real": [null, 0.30000000000000004]
    }'::jsonb,
        format('the same with %s = %s', s.setting, s.value)
    )
from (
    values
    ('timezone', 'UTC'), ('timezone', 'Asia/Kathmandu'), ('datestyle', 'SQL, DMY'), ('datestyle', 'German'),
    ('intervalstyle', 'postgres'), ('intervalstyle', 'sql_standard'), ('bytea_output', 'escape'),
    ('extra_float_digits', '-15'), ('extra_float_digits', '3'), ('search_path', 'tests')
) as s (setting, value);
select throws_ok(
    $$select pg_temp.written('row_security', 'off')$$,
    '42501',
    null,
    'with row_security off nothing is written unseen: it is refused'
);

-- Who: the sealed context, else the login. Never what the caller says.
create temporary table actors as select l.id from limena.audit_logs as l;
set local role limena_app;
select limena.enter_session(
    tests.session_hash('a', 'member'),
    tests.tenant_id('a'),
    'request 1',
    '192.0.2.1',
    'agent 1'
);
insert into limena.things (tenant_id, id) values (tests.tenant_id('a'), 101);
select limena.enter_api_key(tests.key_hash('a'), 'request 2');
insert into limena.things (tenant_id, id) values (tests.tenant_id('a'), 102);
select tests.leave();
reset role;
set local role limena_owner;
insert into limena.things (tenant_id, id) values (tests.tenant_id('a'), 103);
reset role;
select results_eq(
    $$select l.entity_id, l.actor_type, l.actor_id, l.actor_label, l.request_id, host(l.ip), l.user_agent
    from limena.audit_logs as l
    where l.id not in (select g.id from actors as g)
    order by l.seq$$,
    format(
        $$values
        ('101', 'user', tests.user_id('a', 'member'), 'member@a.example', 'request 1', '192.0.2.1', 'agent 1'),
        ('102', 'api_key', tests.api_key_id('a'), 'key (lmn_tests0…0000)', 'request 2', null, null),
        ('103', 'system', null, %L, null, null, null)$$,
        session_user
    ),
    'a person, a key, and without a context the database login, whatever role it has taken'
);
set local role limena_app;
select tests.enter_as('a');
select set_config('app.context', current_setting('app.context') || ' ', true);
select throws_ok(
    $$insert into limena.things (tenant_id, id)
    values (tests.tenant_id('a'), 104)$$, '42501', 'the tenant context does not match its seal',
    'with a context that was touched nothing is written at all'
);
-- limena.things has no policies: what is refused here, the trigger refuses.
select tests.enter_as('a');
select throws_ok(
    $$insert into limena.things (tenant_id, id) values (tests.tenant_id('a'), 104), (tests.tenant_id('b'), 104)$$,
    '42501', 'the tenant context was changed while a statement ran',
    'nobody writes into a''s log in b''s name: limena_app changes no row of another tenant'
);
select throws_ok(
    $$update limena.things set tenant_id = tests.tenant_id('b') where tenant_id = tests.tenant_id('a')$$,
    '42501', 'the tenant context was changed while a statement ran', 'nor moves one there'
);
select tests.leave();
select throws_ok(
    $$insert into limena.things (tenant_id, id) values (tests.tenant_id('a'), 104)$$,
    '42501', 'the tenant context was changed while a statement ran', 'nor writes in nobody''s name'
);
select limena.enter_session(tests.session_hash('a', 'owner'), null);
select throws_ok(
    $$insert into limena.things (tenant_id, id) values (tests.tenant_id('a'), 104)$$,
    '42501', 'the tenant context was changed while a statement ran', 'nor in no tenant'
);
reset role;
select tests.leave();

-- The row itself: within the transaction, after what it tells of, in an order that the rows keep.
select is_empty(
    $$select l.id from limena.audit_logs as l
    where (l.occurred_at < now() or l.occurred_at > clock_timestamp())
        and l.action <> 'maintenance.partitions_made' -- the deploy's$$,
    'occurred_at is the clock''s'
);
select is_empty(
    'select l.id from limena.audit_logs as l inner join limena.audit_logs as m on l.seq < m.seq and'
    ' l.occurred_at > m.occurred_at',
    'and never goes back while seq goes on'
);
select is(
    (select count(*) - count(distinct l.id) from limena.audit_logs as l),
    0::bigint,
    'each row has an id of its own'
);

-- Only what is registered.
create table limena.stray (tenant_id uuid, id integer);
create trigger audit_insert after insert on limena.stray
referencing new table as new_rows
for each statement execute function limena_private.record_changes();
select throws_ok(
    'insert into limena.stray values (null, 1)',
    '55000',
    'limena_private.record_changes() is on a table that is not registered with it',
    'on a table that nobody registered it refuses'
);

select * from finish();
rollback;
