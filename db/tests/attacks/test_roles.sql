-- Attack: become someone else, hand rights on, or take protection off, as limena_app.
-- It would work without: NOINHERIT roles that are members of nothing, limena_owner as the owner of every object, and
-- FORCE ROW LEVEL SECURITY. (SET SESSION AUTHORIZATION and RESET need a real log-in: api/tests/test_attacks.py.)
begin;
select plan(61);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
set local session authorization limena_app;
select tests.enter_as('a', 'owner');

select is(tests.outcome(s.statement), '42501', s.statement)
from (
    values
    ('set role limena_owner'),
    ('set role limena_auth'),
    ('set role limena_readonly'),
    ('set role limena_maintenance'),
    ('set role pg_read_all_data'),
    ('set role pg_monitor'),
    ('set role pg_signal_backend'),
    ('set role postgres'),
    ($$select set_config('role', 'limena_owner', true)$$),
    ('alter role limena_app superuser'),
    ('alter role limena_app bypassrls'),
    ('alter role limena_app createrole'),
    ('alter role limena_app inherit'),
    ('alter role limena_app connection limit 1'),
    ($$alter role limena_auth password 'x'$$),
    ('alter role limena_owner login'),
    ('alter role limena_auth set search_path = x'),
    ('alter role all set search_path = x'),
    ($$alter role limena_app set app.current_tenant_id = 'x'$$),
    ($$alter role limena_app set app.seal = 'x'$$),
    ($$alter role limena_app set session_replication_role = replica$$),
    ($$alter role limena_app set log_statement = 'all'$$),
    ('create role mallory'),
    ('create user mallory superuser'),
    ('drop role limena_readonly'),
    ('grant limena_owner to limena_app'),
    ('grant limena_auth to limena_app'),
    ('grant limena_owner to session_user'),
    ('grant limena_app to limena_readonly'),
    ('reassign owned by limena_owner to limena_app'),
    ('drop owned by limena_owner'),
    ('drop owned by limena_app'),
    ('alter table limena.api_keys disable row level security'),
    ('alter table limena.api_keys no force row level security'),
    ('alter table limena.api_keys owner to limena_app'),
    ('alter table limena.api_keys disable trigger all'),
    ('alter table limena.api_keys drop constraint api_keys_scopes_check'),
    ('create policy mallory on limena.api_keys using (true)'),
    ('alter policy api_keys_select_app on limena.api_keys using (true)'),
    ('drop policy api_keys_insert_app on limena.api_keys'),
    ('drop trigger audit_update on limena.api_keys'),
    ('create trigger mallory after insert on limena.api_keys execute function limena_private.record_changes()'),
    ('create rule mallory as on insert to limena.api_keys do nothing'),
    ('drop table limena.audit_logs'),
    ('alter table limena.audit_logs detach partition limena.audit_logs_9999_01'),
    ('alter function limena.current_tenant_id() owner to limena_app'),
    ('alter function limena.current_tenant_id() volatile'),
    ('alter function limena.enter_session(bytea, uuid, text, inet, text) security invoker'),
    ('drop function limena.require(text)'),
    ('alter database postgres set search_path = x'),
    ('set session_replication_role = replica'),
    ($$set log_statement = 'none'$$)
) as s (statement);

-- GRANT by someone without grant option is a warning, not an error: what counts is that nothing changed.
select is(tests.outcome('grant select on limena.api_keys to public'), '42501', 'no right is handed on');
select is(
    tests.error_of('grant select (id) on limena.api_keys to public'), null, 'a column grant is a warning without effect'
);
grant select (id) on limena.api_keys to public;
revoke execute on function limena.current_tenant_id() from limena_app;
grant usage on schema limena to public;
select is(
    has_any_column_privilege('limena_auth', 'limena.api_keys', 'select')
    or has_schema_privilege('public', 'limena', 'usage'),
    false,
    'nobody has got anything'
);
select  -- noqa: LT09
    is(has_function_privilege('limena_app', 'limena.current_tenant_id()', 'execute'), true, 'nobody has lost anything');

-- row_security = off asks for an error instead of a filter; it is no way past the filter.
set local row_security = off;
select is(tests.outcome('select from limena.api_keys'), '42501', 'row_security = off: an error, not the rows');
select is(tests.loot('a'), '', 'on each relation');
select is(tests.harm('a'), '', 'and nothing can be changed');
set local row_security = on;

select is(tests.loot('a'), '', 'after all of this: nothing of b');
select is(tests.harm('a'), '', 'and nothing of it can be changed');

select * from finish();
rollback;
