-- Attack: go round the tables: statistics, system columns, partitions, sequences, the views of what other backends do,
-- and the catalogs, as the owner of tenant a.
-- It would work with a grant on a whole table or a partition, without forced row-level security on each partition, with
-- statistics readable past row-level security, or with secrets in functions, comments or settings.
-- Known limits: how many rows all tenants have together (pg_class, pg_stat_user_tables), what other sessions of the
-- same role run (pg_stat_activity: the API's statements hold no values), and the product's own functions and policies
-- are for all to read.
begin;
select plan(73);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'key of a');
select tests.make_api_key(p_tenant => 'b', p_name => 'key of b');
insert into limena.api_keys (tenant_id, name, prefix, last_four, scopes, key_hash, created_by)
select
    tests.tenant_id('b'),
    'common',
    'lmn_common',
    'comm',
    '{ai:use}',
    sha256(i::text::bytea),
    tests.user_id('b', 'owner')
from generate_series(1, 100) as i;
analyze limena.tenants,
limena.users,
limena.memberships,
limena.invitations,
limena.api_keys,
limena.audit_logs,
limena.sessions;

set local session authorization limena_app;
select tests.enter_as('a', 'owner');

-- 1. Statistics.
select is_empty(
    $$select tablename, attname from pg_stats where schemaname like 'limena%' and tablename not in ('permissions', 'role_permissions')$$,  -- noqa: LT05
    'pg_stats shows no table of a tenant'
);
select is_empty('select from pg_stats_ext', 'nor does pg_stats_ext');
select is_empty('select from pg_stats_ext_exprs', 'nor pg_stats_ext_exprs');
select is(tests.outcome('select from pg_statistic'), '42501', 'pg_statistic is closed');
select is(tests.outcome('select from pg_statistic_ext_data'), '42501', 'so is pg_statistic_ext_data');
select is_empty(
    $$select from pg_sequences where schemaname = 'limena' and last_value is not null$$, 'pg_sequences tells no value'
);
select isnt(
    tests.outcome($$select from pg_sequence_last_value('limena.audit_logs_seq_seq') as v where v is not null$$), '1',
    'pg_sequence_last_value() tells none'
);
select is_empty(
    $$select from pg_stat_activity where usename <> 'limena_app' and query <> '<insufficient privilege>' and usename is not null$$,  -- noqa: LT05
    'pg_stat_activity shows no statement of another role'
);

-- 2. Columns that are not granted, in every way to name them.
select
    is(
        tests.outcome(format(w.statement, s.relation, s.column_name)),
        '42501',
        format(w.statement, s.relation, s.column_name)
    )
from (
    values
    ('api_keys', 'key_hash'), ('invitations', 'token_hash'), ('users', 'password_hash'), ('sessions', 'secret_hash'),
    ('refresh_tokens', 'token_hash'), ('integration_credentials', 'ciphertext'), ('integration_flows', 'ciphertext')
) as s (relation, column_name)
cross join (
    values
    ('select %2$I from limena.%1$I'),
    ('select from limena.%1$I where %2$I is not null'),
    ('select from limena.%1$I order by %2$I'),
    ('select t from limena.%1$I as t'),
    ('select to_jsonb(t) from limena.%1$I as t'),
    ('select count(t.*) from limena.%1$I as t')
) as w (statement);
select is(tests.outcome(s.statement), '42501', s.statement)
from (
    values
    ('select ctid from limena.api_keys'),
    ('select xmin from limena.api_keys'),
    ('select tableoid from limena.audit_logs'),
    ('select from limena.api_keys where ctid = ''(0,1)'''),
    ('select currtid2(''limena.api_keys'', ''(0,1)'')'),
    (
        'insert into limena.api_keys (tenant_id, name, prefix, last_four, scopes, key_hash, created_by) '
        'values (tests.tenant_id(''a''), ''x'', ''lmn_abcdef'', ''0000'', ''{ai:use}'', sha256(''x''), tests.user_id(''a'', ''owner'')) '  -- noqa: LT05
        'returning key_hash'
    ),
    ('update limena.api_keys set revoked_at = now() returning key_hash'),
    ('select from limena.api_keys as k join limena.api_keys as o using (key_hash)'),
    ('select is_platform_admin from limena.users'),
    ('table limena.api_keys'),
    ('select k.* from limena.api_keys as k'),
    ('select * from limena_private.seal_keys'),
    ('select * from limena_private.audited_tables'),
    ('select * from limena_private.deployed_files')
) as s (statement);
select is(tests.outcome($$select from limena.memberships tablesample system (100)$$), '4', 'a sample is of a''s rows');
select
    is(
        tests.outcome($$select from limena.api_keys tablesample bernoulli (100) repeatable (1)$$), '1', 'of either kind'
    );

-- 3. Partitions by themselves.
select is(
    array(
        select c.relname || ': ' || tests.outcome(format('select from limena.%I', c.relname))
        from pg_class as c
        where
            c.relnamespace = 'limena'::regnamespace
            and c.relispartition
            and c.relkind = 'r'
            and tests.outcome(format('select from limena.%I', c.relname)) <> '42501'
    ),
    '{}',
    'no partition is open to limena_app'
);
-- Even with a grant, which no deploy makes.
set local session authorization postgres;
do $$
declare
    v_partition regclass;
begin
    for v_partition in
        select c.oid::regclass from pg_class as c where c.relnamespace = 'limena'::regnamespace and c.relispartition and c.relkind = 'r'
    loop
        execute format('grant select on %s to limena_app, limena_readonly', v_partition);
    end loop;
end;
$$;
set local session authorization limena_app;
select is(
    array(
        select c.relname || ': ' || tests.outcome(format('select from limena.%I', c.relname))
        from pg_class as c
        where
            c.relnamespace = 'limena'::regnamespace
            and c.relispartition
            and c.relkind = 'r'
            and tests.outcome(format('select from limena.%I', c.relname)) <> '0'
    ),
    '{}',
    'and with a grant each one is empty: it has forced row-level security and no policy'
);

-- 4. No secret in what everyone can read.
select is_empty(
    $$select from pg_proc as p, pg_namespace as n
    where n.oid = p.pronamespace and n.nspname like 'limena%' and p.prosrc ~ '\\x[0-9a-f]{32}|[0-9a-f]{64}'$$,
    'no function holds a secret'
);
select is_empty(
    $$select from pg_description as d where d.description ~ '\\x[0-9a-f]{32}|[0-9a-f]{64}|@[a-z]+\.example'$$,
    'nor a comment'
);
select is_empty(
    $$select from pg_db_role_setting as s, unnest(s.setconfig) as c where c like 'app.%'$$,
    'nor a setting of a role or database'
);
select is(tests.outcome('select from pg_authid'), '42501', 'the passwords of roles are closed');
select is(tests.outcome('select from pg_hba_file_rules'), '42501', 'so is how one logs in');

select * from finish();
rollback;
