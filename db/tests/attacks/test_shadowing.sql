-- Attack: put an object of one's own in front of one of PostgreSQL's or Limena's: a table, function, operator, cast or
-- type in pg_temp, public or a schema of one's own, found first through search_path.
-- It would work without: no CREATE on any schema and no TEMP on the database; and where something stands in front all
-- the same, without `set search_path = pg_catalog, pg_temp` on the functions, and policies that keep what they were
-- parsed with.
begin;
select plan(71);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
set local session authorization limena_app;
select tests.enter_as('a', 'viewer');

-- 1. Nothing can be made, anywhere.
select is(
    array(
        select n.nspname::text
        from pg_namespace as n
        where has_schema_privilege('limena_app', n.oid, 'create')
    ),
    '{}',
    'there is no schema to create in'
);
select is(
    array(
        select p.privilege
        from unnest('{create, temporary}'::text[]) as p (privilege)
        where has_database_privilege('limena_app', current_database(), p.privilege)
    ),
    '{}',
    'nor can one be made in the database'
);
select is(tests.outcome(s.statement), '42501', s.statement)
from (
    values
    ('create schema mallory'),
    ('create temp table sha256 (x int)'),
    ('create temp view api_keys as select 1 as x'),
    ('create temp sequence s'),
    ('create table pg_temp.api_keys (tenant_id uuid)'),
    ('create function pg_temp.f() returns int language sql as $$select 1$$'),
    ('create type pg_temp.t as enum (''x'')'),
    ('create domain pg_temp.d as text'),
    ('select 1 as x into temp table mallory'),
    ('create temp table mallory as select * from pg_class'),
    ('create foreign data wrapper mallory'),
    ('create event trigger mallory on ddl_command_start execute function limena_private.record_changes()'),
    ('create publication mallory for all tables'),
    ('create cast (uuid as text) with inout')
) as s (statement);
select is(tests.outcome(format(s.statement, n.name)), '42501', format(s.statement, n.name))
from (values ('public'), ('limena'), ('limena_private'), ('pg_catalog'), ('tests')) as n (name)
cross join (
    values
    ('create table %s.mallory (x int)'),
    ('create view %s.mallory as select 1 as x'),
    ('create function %s.now() returns timestamptz language sql as $$select pg_catalog.clock_timestamp()$$'),
    ('create function %s.leak(text) returns bool language plpgsql cost 0.0001 as $$begin raise notice ''x''; return true; end$$'),  -- noqa: LT05
    ('create operator %s.= (function = pg_catalog.uuid_ne, leftarg = uuid, rightarg = uuid)'),
    ('create aggregate %s.mallory (text) (sfunc = pg_catalog.textcat, stype = text)'),
    ('create domain %s.uuid as text'),
    ('create type %s.mallory as (x int)')
) as s (statement)
order by n.name, s.statement;
-- Refused for one reason or another: the server may lack the files, and the last two run in no transaction.
select isnt(tests.outcome(s.statement), '0', s.statement)
from (
    values
    ('create extension pgcrypto'),
    ('create language plperl'),
    ('create database mallory'),
    ('create tablespace mallory location ''/''')
) as s (statement);

-- 2. Suppose somebody had: a superuser's schema with everything in it that would open the door, first in search_path.
set local session authorization postgres;
create schema evil;
create function evil.anything_is_equal(uuid, uuid) returns boolean language sql immutable as 'select true';
create operator evil.= (function = evil.anything_is_equal, leftarg = uuid, rightarg = uuid);  -- noqa: PRS
create function evil.never_differs(bytea, bytea) returns boolean language sql immutable as 'select false';
create operator evil.<> (function = evil.never_differs, leftarg = bytea, rightarg = bytea);
create function evil.every_hash_is_known(bytea, bytea) returns boolean language sql immutable as 'select true';
create operator evil.= (function = evil.every_hash_is_known, leftarg = bytea, rightarg = bytea);
create function evil.has_all(jsonb, text) returns boolean language sql immutable as 'select true';
create operator evil.? (function = evil.has_all, leftarg = jsonb, rightarg = text);
create function evil.has_all(jsonb, text []) returns boolean language sql immutable as 'select true';
create operator evil.?| (function = evil.has_all, leftarg = jsonb, rightarg = text []);
create operator evil.?& (function = evil.has_all, leftarg = jsonb, rightarg = text []);
create function evil.everything_is_b(jsonb, text) returns text language sql immutable
as $$select tests.tenant_id('b')::text$$;
create operator evil.->> (function = evil.everything_is_b, leftarg = jsonb, rightarg = text);
create function evil.contained(text [], text []) returns boolean language sql immutable as 'select true';
create operator evil.<@ (function = evil.contained, leftarg = text [], rightarg = text []);
create function evil.sha256(bytea) returns bytea language sql immutable as $$select '\x00'::bytea$$;
create function evil.convert_to(text, name) returns bytea language sql immutable as $$select '\x00'::bytea$$;
create function evil.encode(bytea, text) returns text language sql immutable as $$select ''::text$$;
create function evil.pg_backend_pid() returns integer language sql immutable as 'select 0';
create function evil.transaction_timestamp() returns timestamptz language sql immutable as $$select timestamptz 'epoch'$$;
create function evil.clock_timestamp() returns timestamptz language sql immutable as $$select timestamptz '-infinity'$$;
create function evil.current_setting(text) returns text language sql as $$select 'read committed'::text$$;
create function evil.current_setting(text, boolean) returns text language sql as $$select ''::text$$;
create function evil.set_config(text, text, boolean) returns text language sql
as $$select pg_catalog.set_config($1, $2, false)$$;
create table evil.seal_keys as select 1::smallint as id, '\x00'::bytea as secret;
create table evil.api_keys as select * from limena.api_keys;
create table evil.permissions as select 'x'::text as name;
grant usage on schema evil to public;
grant select on all tables in schema evil to public;
create temporary table seal_keys as select 1::smallint as id, '\x00'::bytea as secret;
create temporary table pg_class (oid oid);
grant select on seal_keys, pg_class to public;
set local session authorization limena_app;

set local search_path = evil, pg_temp, tests, pgtap, limena, pg_catalog;
select pgtap.is(tests.loot('a'), '', 'with shadows in front: nothing of b');
select pgtap.is(tests.harm('a'), '', 'nor can it be changed');
select pgtap.is(tests.outcome('select from limena.memberships'), '4', 'a''s own rows are there');
select pgtap.is(limena.has_permission('api_keys:write'), false, 'a viewer has no more permissions');
select pgtap.is(tests.outcome($$select limena.require('tenant:own')$$), '42501', 'and procedures require them');
select pgtap.is(
    tests.plunder(tests.tenant_id('b')::text, null, null, 'a'), '', 'a forged context is refused'
);
select pgtap.is(tests.plunder(null, null, ''), '', 'without a seal too');
select pgtap.is(
    tests.outcome($$select limena.enter_session('\x00', tests.tenant_id('b'))$$), '28000', 'a hash of nothing enters nowhere'
);
select pgtap.is(
    tests.outcome(format('select limena.enter_session(%L, %L)', tests.session_hash('a', 'viewer'), tests.tenant_id('b'))),
    '28000', 'a session of a does not enter b'
);
select tests.enter_as('a', 'admin');
select pgtap.is(
    tests.outcome($$select limena.create_api_key('x', '{tenant:own}', 'lmn_abcdef', '0000', pg_catalog.sha256('x'))$$), '42501',
    'an admin gives a key no more than they hold'
);
select pgtap.is(
    tests.outcome(
        format(
            'insert into limena.api_keys (tenant_id, name, prefix, last_four, scopes, key_hash, created_by) '
            'values (%L, %L, %L, %L, %L, pg_catalog.sha256(%L), %L)',
            tests.tenant_id('a'), 'x', 'lmn_abcdef', '0000', '{tenant:own}', 'x', tests.user_id('a', 'admin')
        )
    ), '42501', 'nor by INSERT'
);

select * from pgtap.finish();
rollback;
