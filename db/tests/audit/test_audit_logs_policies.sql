-- limena.audit_logs below the API: append-only, each actor, own tenant and another's. Fails without
-- db/policies/audit/audit_logs.sql.
begin;
select plan(37);

select results_eq(
    $$select tests.policies_of('limena.audit_logs')$$,
    array[
        'audit_logs_delete_owner: delete to limena_owner',
        'audit_logs_insert_owner: insert to limena_owner',
        'audit_logs_select_app: select to limena_app',
        'audit_logs_select_owner: select to limena_owner',
        'audit_logs_select_readonly: select to limena_readonly'
    ],
    'exactly these policies: none for UPDATE, not even for limena_owner'
);
select is(tests.row_security_of('limena.audit_logs'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.audit_logs')$$,
    array[
        'limena_app: select (tenant_id, occurred_at, seq, id, action, actor_type, actor_id, actor_label,'
        ' entity_type, entity_id,'
        ' changes, details, request_id, ip, user_agent, on_behalf_of_id, on_behalf_of_label)',
        'limena_readonly: select (tenant_id, occurred_at, seq, id, action, actor_type, actor_id, actor_label,'
        ' entity_type, entity_id,'
        ' changes, details, request_id, ip, user_agent, on_behalf_of_id, on_behalf_of_label)'
    ],
    'exactly these privileges: nobody writes'
);

-- The partitions: what they are is the same for each, however many there are.
select cmp_ok(
    (
        select count(*) from pg_inherits as i
        where i.inhparent = 'limena.audit_logs'::regclass
    ), '>=', 4::bigint,
    'this month and three more are there'
);
select is_empty(
    $$select i.inhrelid::regclass
    from pg_inherits as i
    where i.inhparent = 'limena.audit_logs'::regclass and tests.row_security_of(i.inhrelid) <> 'forced'$$,
    'each has forced row-level security'
);
select is_empty(
    $$select i.inhrelid::regclass, p.line
    from pg_inherits as i
    cross join tests.policies_of(i.inhrelid) as p (line)
    where i.inhparent = 'limena.audit_logs'::regclass$$,
    'no partition has a policy'
);
select is_empty(
    $$select i.inhrelid::regclass, p.line
    from pg_inherits as i
    cross join tests.privileges_of(i.inhrelid) as p (line)
    where i.inhparent = 'limena.audit_logs'::regclass$$,
    'nor a grant'
);
select is_empty($$select tests.privileges_of('limena.audit_logs_seq_seq')$$, 'the sequence is limena_owner''s alone');

-- The fixture itself fills the log of a and b; the platform's has a row of its own.
select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{audit:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{api_keys:read, audit:export}');
create temporary table logged as
select
    l.tenant_id,
    count(*) as rows
from limena.audit_logs as l
group by l.tenant_id;
grant select on logged to public;

select
    cmp_ok((
        select g.rows from logged as g
        where g.tenant_id = tests.tenant_id(t.name)
    ), '>', 5::bigint, 'the log of ' || t.name || ' has rows')
from unnest(array['a', 'b']) as t (name);

create function pg_temp.adding(p_tenant text)
returns text
language sql
as $$
select format(
    'insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type) values (%L,'
    ' now(), 0, gen_random_uuid(), ''x.y'', ''system'')',
    tests.tenant_id(p_tenant)
)
$$;

set local role limena_app;
select
    is(
        tests.outcomes('select id from limena.audit_logs', '{nobody, viewer, member, admin, owner, reader, other}'),
        format('nobody 0, viewer 0, member 0, admin %1$s, owner %1$s, reader %1$s, other 0', g.rows),
        'audit:read sees the log of one tenant, all of it'
    )
from logged as g
where g.tenant_id = tests.tenant_id('a');
select is(
    tests.outcomes(
        $$select id from limena.audit_logs where tenant_id <> tests.tenant_id('a')$$,
        '{nobody, viewer, member, admin, owner, reader}'
    ),
    'nobody 0, viewer 0, member 0, admin 0, owner 0, reader 0',
    'another''s and the platform''s are not there'
);
select is(
    tests.outcomes(pg_temp.adding('a')),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody writes into the log'
);
select is(
    tests.outcomes(pg_temp.adding('b'), '{admin, owner, reader}'),
    'admin 42501, owner 42501, reader 42501',
    'nor into another''s'
);
select is(
    tests.outcomes('update limena.audit_logs set action = action'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody changes the log'
);
select is(
    tests.outcomes('delete from limena.audit_logs'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody deletes from it'
);
select is(
    tests.outcomes('truncate limena.audit_logs'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody empties it'
);
select is(
    tests.outcomes('drop table limena.audit_logs'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody drops it'
);
select is(
    tests.outcomes($$select nextval('limena.audit_logs_seq_seq')$$, '{nobody, owner}'), 'nobody 42501, owner 42501',
    'nobody draws a number, which would tell how much others do'
);
select is(
    tests.outcomes('select last_value from limena.audit_logs_seq_seq', '{nobody, owner}'), 'nobody 42501, owner 42501',
    'nor looks at the last'
);
-- Below the partitioned table, where its policies are not asked.
select
    is_empty(
        format(
            $$select i.inhrelid::regclass
            from pg_inherits as i
            where i.inhparent = 'limena.audit_logs'::regclass
                and tests.outcomes(format('%s', i.inhrelid::regclass), '{nobody, admin, owner}')
                <> 'nobody 42501, admin 42501, owner 42501'$$,
            v.statement
        ),
        'nobody gets round the policies by ' || replace(v.statement, '%s', 'a partition')
    )
from (
    values ('table %s'), ('insert into %s default values'), ('delete from %s'), ('truncate %s'), ('drop table %s')
) as v (statement);

set local role limena_readonly;
select is(
    tests.outcome('select id, changes, ip from limena.audit_logs'),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('delete from limena.audit_logs'), '42501', 'and writes none');
select is(
    (
        select array_agg(distinct tests.outcome(format('select from %s', i.inhrelid::regclass)))
        from pg_inherits as i
        where i.inhparent = 'limena.audit_logs'::regclass
    ),
    '{42501}', 'and no partition'
);

set local role limena_auth;
select is(tests.outcome('select id from limena.audit_logs'), '42501', 'limena_auth touches no table');
select is(tests.outcome(pg_temp.adding('a')), '42501', 'and writes by its procedures alone');

set local role limena_maintenance;
select is(tests.outcome('select id from limena.audit_logs'), '42501', 'nor does limena_maintenance');
select is(tests.outcome(pg_temp.adding('a')), '42501', 'which does not write either');

set local role limena_owner;
select isnt(tests.outcome('select id from limena.audit_logs'), '0', 'limena_owner reads it, to seal and to verify');
select is(tests.outcome(pg_temp.adding('a')), '1', 'writes, for record_changes and record_event');
select is(tests.outcome('update limena.audit_logs set action = action'), '0', 'changes none');
select is(tests.outcome('delete from limena.audit_logs'), '0', 'and deletes none that is younger than 30 days');
select is(
    (
        select array_agg(distinct tests.outcome(format('delete from %s', i.inhrelid::regclass)))
        from pg_inherits as i
        where i.inhparent = 'limena.audit_logs'::regclass
    ),
    '{0}', 'from no partition either'
);

select * from finish();
rollback;
