-- Attack: reach beyond the tables with PostgreSQL's own functions and commands: files, programs, large objects, other
-- backends, locks, messages, and a way to run as somebody else.
-- It would work without the revocations of db/deploy/close_database.sql, or if limena_app were a member of one of
-- PostgreSQL's predefined roles.
-- Known limits: anyone who runs SQL as limena_app may take advisory locks (the deploy's too: it then waits or gives
-- up), keep their own backend busy, and send NOTIFY to whoever listens; the product relies on none of them for
-- isolation.
begin;
select plan(58);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
-- What a large object made by someone else would hold.
do $$
begin
    perform set_config('attack.object', lo_from_bytea(0, 'belongs to nobody')::text, true);
end;
$$;

set local session authorization limena_app;
select tests.enter_as('a', 'owner');

select is(tests.outcome(s.statement), '42501', s.statement)
from (
    values
    -- files and programs
    ('copy limena.api_keys (id) to program ''cat'''),
    ('copy limena.api_keys (id) from program ''true'''),
    ('copy (select 1) to ''/tmp/limena_attack'''),
    ('copy limena.api_keys (tenant_id) from ''/etc/passwd'''),
    ('select pg_read_file(''postgresql.conf'')'),
    ('select pg_read_binary_file(''PG_VERSION'')'),
    ('select pg_ls_dir(''.'')'),
    ('select pg_stat_file(''PG_VERSION'')'),
    ('select pg_ls_logdir()'),
    ('select pg_ls_waldir()'),
    ('select pg_current_logfile()'),
    ('select lo_import(''/etc/passwd'')'),
    ('load ''auto_explain'''),
    -- large objects: no tenant, no policy
    ('select lo_create(0)'),
    ('select lo_creat(0)'),
    ('select lo_from_bytea(0, ''x'')'),
    (format('select lo_get(%s)', current_setting('attack.object'))),
    (format('select lo_open(%s, 131072)', current_setting('attack.object'))),
    (format('select lo_put(%s, 0, ''x'')', current_setting('attack.object'))),
    (format('select lo_unlink(%s)', current_setting('attack.object'))),
    (format('select lo_export(%s, ''/tmp/limena_attack'')', current_setting('attack.object'))),
    ('select from pg_largeobject'),
    -- other backends: they run the same role, so PostgreSQL itself would allow it
    ('select pg_cancel_backend(pg_backend_pid())'),
    ('select pg_terminate_backend(0, 0)'),
    ('select pg_log_backend_memory_contexts(pg_backend_pid())'),
    -- the server
    ('select pg_reload_conf()'),
    ('select pg_rotate_logfile()'),
    ('select pg_switch_wal()'),
    ('select pg_create_restore_point(''x'')'),
    ('select pg_promote()'),
    ('select pg_stat_reset()'),
    ('select pg_stat_reset_single_table_counters(''limena.api_keys''::regclass)'),
    ('select pg_logical_emit_message(true, ''x'', ''x'')'),
    ('select pg_replication_origin_create(''x'')'),
    ('select pg_control_system() from pg_authid'),
    ('create subscription mallory connection ''dbname=x'' publication x with (connect = false)'),
    -- settings that would write to the server's log what statements carry, or take triggers and checks away
    ('set log_min_duration_statement = 0'),
    ('set log_parameter_max_length = -1'),
    ('set log_duration = on'),
    ('set log_error_verbosity = verbose'),
    ('set session_preload_libraries = ''x'''),
    ('set allow_system_table_mods = on'),
    ('set ignore_checksum_failure = on'),
    ('set zero_damaged_pages = on'),
    ('set dynamic_library_path = ''/tmp'''),
    ('set lc_messages = ''C'''),
    ('select current_setting(''data_directory'')'),
    ('select current_setting(''hba_file'')')
) as s (statement);

-- Refused, for one reason or another.
select isnt(tests.outcome(s.statement), '0', s.statement)
from (
    values
    ('set shared_preload_libraries = ''x'''),
    ('create server mallory foreign data wrapper nothing'),
    ('select pg_create_physical_replication_slot(''x'')'),
    ('select pg_drop_replication_slot(''x'')'),
    ('create extension dblink'),
    ('create extension postgres_fdw'),
    ('select dblink(''dbname=postgres'', ''select 1'')')
) as s (statement);

-- Messages reach no session of the product, which listens to none.
select is(tests.outcome('notify limena, ''x'''), '0', 'NOTIFY reaches whoever listens');
select is_empty(
    $$select from pg_proc as p, pg_namespace as n
    where n.oid = p.pronamespace and n.nspname like 'limena%' and p.prosrc ~* '\m(listen|notify|pg_notify)\M'$$,
    'and nothing of the product listens or notifies'
);
select is(tests.harm('a'), '', 'nothing of b has changed');

select * from finish();
rollback;
