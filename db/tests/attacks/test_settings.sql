-- Attack: change what a statement means, or how it is run, with every setting that limena_app may set in its own
-- session.
-- It would work if a function with the owner's rights, or a policy, depended on one: that is what pinned search_paths,
-- qualified names and pinned output formats are for. (What the settings for debugging print:
-- api/tests/test_attacks.py.)
begin;
select plan(44);

set local jit = off;
select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
delete from limena.api_key_uses
where tenant_id = tests.tenant_id('b');

-- The same attacks under a setting, alone: '' when they come to nothing and a viewer of a still sees a's members.
create function tests.under(p_name text, p_value text)
returns text
language plpgsql
as $$
declare
    v_found text;
begin
    begin
        perform set_config(p_name, p_value, true);
        perform tests.enter_as('a', 'viewer');
        v_found := concat_ws(
            '; ',
            nullif(tests.loot('a'), ''),
            nullif(tests.harm('a'), ''),
            nullif(tests.plunder(tests.tenant_id('b')::text, null, null, 'a'), ''),
            nullif(tests.plunder(null, '{"permissions": ["tenant:own"]}', null, 'a'), ''),
            nullif(tests.plunder(null, null, repeat('0', 64), 'a'), ''),
            case when tests.outcome('select from limena.memberships') <> '4' then 'a''s members are gone' end,
            case when limena.has_permission('api_keys:write') then 'a viewer may write keys' end,
            case when tests.outcome($q$select limena.require('tenant:own')$q$) <> '42501' then 'a viewer owns the tenant' end
        );
        raise exception '%', v_found using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;

set local session authorization limena_app;
select
    is(
        tests.under(
            case when s.name = 'debug_parallel_query' and n.is_old then 'force_parallel_mode' else s.name end, s.value
        ),
        '',
        format('%s = %s', s.name, s.value)
    )
from (select current_setting('server_version_num')::integer < 160000 as is_old) as n
cross join (
    values
    ('search_path', ''),
    ('search_path', 'pg_temp, "$user", public'),
    ('plan_cache_mode', 'force_generic_plan'),
    ('plan_cache_mode', 'force_custom_plan'),
    ('debug_parallel_query', 'on'),
    ('debug_parallel_query', 'regress'),
    ('parallel_leader_participation', 'off'),
    ('parallel_setup_cost', '0'),
    ('min_parallel_table_scan_size', '0'),
    ('max_parallel_workers_per_gather', '8'),
    ('enable_seqscan', 'off'),
    ('enable_indexscan', 'off'),
    ('enable_partition_pruning', 'off'),
    ('cpu_operator_cost', '0'),
    ('cpu_operator_cost', '1e300'),
    ('cpu_tuple_cost', '0'),
    ('constraint_exclusion', 'on'),
    ('from_collapse_limit', '1'),
    ('join_collapse_limit', '1'),
    ('geqo_threshold', '2'),
    ('jit', 'on'),
    ('standard_conforming_strings', 'off'),
    ('backslash_quote', 'on'),
    ('escape_string_warning', 'off'),
    ('transform_null_equals', 'on'),
    ('quote_all_identifiers', 'on'),
    ('array_nulls', 'off'),
    ('check_function_bodies', 'off'),
    ('xmloption', 'document'),
    ('bytea_output', 'escape'),
    ('datestyle', 'SQL, DMY'),
    ('timezone', 'Pacific/Kiritimati'),
    ('timezone_abbreviations', 'India'),
    ('intervalstyle', 'sql_standard'),
    ('extra_float_digits', '-15'),
    ('lc_numeric', 'C'),
    ('client_encoding', 'SQL_ASCII'),
    ('client_encoding', 'LATIN1'),
    ('default_transaction_read_only', 'on'),
    ('default_transaction_isolation', 'serializable'),
    ('work_mem', '64kB'),
    ('row_security', 'on')
) as s (name, value);

-- A context does not depend on how times are written: it is the same one after the format has changed.
select tests.enter_as('a', 'viewer');
set local datestyle = 'SQL, DMY';
set local timezone = 'Pacific/Kiritimati';
set local bytea_output = 'escape';
select is(limena.current_tenant_id(), tests.tenant_id('a'), 'a context stands when formats change');

-- Whoever may write the log's formats could make it say something else: they are pinned.
set local session authorization postgres;
set local timezone = 'UTC';
set local bytea_output = 'hex';
select tests.make_api_key(p_tenant => 'a', p_name => 'first');
set local datestyle = 'SQL, DMY';
set local timezone = 'Pacific/Kiritimati';
set local bytea_output = 'escape';
set local extra_float_digits = -15;
select tests.make_api_key(p_tenant => 'a', p_name => 'second');
select is(
    (
        select count(distinct l.changes - '{id, name}'::text[])
        from limena.audit_logs as l
        where l.action = 'api_key.created' and l.changes -> 'name' ->> 1 in ('first', 'second')
    ),
    1::bigint,
    'the log writes the same in every format'
);

select * from finish();
rollback;
