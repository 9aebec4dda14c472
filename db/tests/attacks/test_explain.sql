-- Attack: learn with EXPLAIN what row-level security hides: conditions that PostgreSQL takes for harmless (LEAKPROOF)
-- run before a policy that costs more, and EXPLAIN ANALYZE tells which part of a plan ran, and on how many rows.
-- It would work with `tenant_id = (select …)` instead of `tenant_id = any (array[(select …)])` in a policy, with a
-- right of limena_app on users, with an index that limena_app may search and that does not begin with the tenant, and
-- with statistics on columns of personal data (docs/decisions/0008-the-tenant-comes-first.md, which also names what is
-- left).
begin;
select plan(56);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'key of a');
-- Enough of b for statistics to know its values, were there any statistics.
select tests.make_api_key(p_tenant => 'b', p_name => 'key of b');
insert into limena.api_keys (
    tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by, expires_at, created_at
)
select
    tests.tenant_id('b'),
    tests.id('key', i::text),
    'common',
    'lmn_common',
    'comm',
    '{ai:use}',
    sha256(i::text::bytea),
    tests.user_id('b', 'owner'),
    '2999-01-01',
    '2020-01-01'
from generate_series(1, 200) as i;
insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
select
    tests.tenant_id('b'),
    tests.id('invitation', i::text),
    'guest' || i || '@b.example',
    'member',
    sha256(i::text::bytea),
    tests.user_id('b', 'owner')
from generate_series(1, 200) as i;

select tests.make_integration(p_tenant => 'a', p_key_version => 3);
select tests.make_integration(p_tenant => 'b', p_provider => 'common', p_key_version => 7);

-- A wrong guess is next to the right one, so that no row of a's lies between them.
create temporary table guesses as
select
    g.relation,
    g.column_name,
    g.existing,
    coalesce(
        g.missing, left(g.existing, -1) || translate(right(g.existing, 1), '0123456789abcdef', '1032547698badcfe')
    ) as missing
from (
    values
    ('tenants', 'id', tests.tenant_id('b')::text, null),
    ('tenants', 'name', 'Tenant b', 'Tenant c'),
    ('memberships', 'tenant_id', tests.tenant_id('b')::text, null),
    ('memberships', 'user_id', tests.user_id('b', 'owner')::text, null),
    ('invitations', 'tenant_id', tests.tenant_id('b')::text, null),
    ('invitations', 'id', tests.id('invitation', '1')::text, null),
    ('invitations', 'email', 'guest1@b.example', 'guest0@b.example'),
    ('invitations', 'invited_by', tests.user_id('b', 'owner')::text, null),
    ('api_keys', 'tenant_id', tests.tenant_id('b')::text, null),
    ('api_keys', 'id', tests.api_key_id('b', 'key of b')::text, null),
    ('api_keys', 'name', 'common', 'cannon'),
    ('api_keys', 'prefix', 'lmn_common', 'lmn_cannon'),
    ('api_keys', 'last_four', 'comm', 'cann'),
    ('api_keys', 'created_by', tests.user_id('b', 'owner')::text, null),
    ('api_keys', 'created_at', '2020-01-01 00:00:00+00', '2020-01-02 00:00:00+00'),
    ('api_keys', 'expires_at', '2999-01-01 00:00:00+00', '2999-01-02 00:00:00+00'),
    ('api_key_uses', 'api_key_id', tests.api_key_id('b', 'key of b')::text, null),
    ('integrations', 'provider', 'common', 'cannon'),
    ('integrations', 'label', 'label of b', 'label of c'),
    ('integration_credentials', 'integration_id', tests.integration_id('b', 'common')::text, null),
    ('integration_credentials', 'key_version', '7', '8'),
    ('audit_logs', 'tenant_id', tests.tenant_id('b')::text, null),
    ('audit_logs', 'entity_id', tests.api_key_id('b', 'key of b')::text, null)
) as g (relation, column_name, existing, missing);
grant select on guesses to public;

-- What EXPLAIN says of a guess that is right and of one that is wrong, where it differs: '' when it never does. With
-- every kind of scan.
create function tests.difference(p_relation text, p_column text, p_existing text, p_missing text, p_options text)
returns text
language plpgsql
as $$
declare
    v_condition text;
    v_scan text;
    v_right text;
    v_wrong text;
    v_found text[] := '{}';
begin
    foreach v_scan in array array['seqscan', 'indexscan', 'indexonlyscan', 'bitmapscan'] loop
        perform set_config('enable_' || k.name, case when k.name = v_scan then 'on' else 'off' end, true)
        from unnest(array['seqscan', 'indexscan', 'indexonlyscan', 'bitmapscan']) as k (name);
        foreach v_condition in array array[
            '%1$I = %2$L', '%1$I >= %2$L and %1$I <= %2$L', '%1$I in (%2$L, %2$L)', '%1$I = any (array[%2$L])', '%1$I > %2$L',
            'not %1$I < %2$L', '%1$I is not null and %1$I = %2$L', 'coalesce(%1$I = %2$L, false)',
            '(%1$I = %2$L) is true', 'case when %1$I = %2$L then true end', 'row(%1$I, %1$I) >= row(%2$L, %2$L)'
        ] loop
            v_right := tests.explained(
                format('select 1 from limena.%I where ', p_relation) || format(v_condition, p_column, p_existing), p_options
            );
            v_wrong := tests.explained(
                format('select 1 from limena.%I where ', p_relation) || format(v_condition, p_column, p_missing), p_options
            );
            if replace(v_right, p_existing, p_missing) is distinct from v_wrong then
                v_found := v_found || (v_scan || ': ' || format(v_condition, p_column, p_existing));
            end if;
        end loop;
    end loop;
    return array_to_string(v_found, ', ');
end;
$$;

set local jit = off;
set local session authorization limena_app;
set local timezone = 'UTC';
select tests.enter_as('a', 'owner');
select
    is(
        tests.difference(
            g.relation, g.column_name, g.existing, g.missing, 'analyze, costs off, timing off, summary off'
        ),
        '',
        format('EXPLAIN ANALYZE does not tell %s.%s of b from a wrong guess', g.relation, g.column_name)
    )
from guesses as g;
select isnt(
    tests.difference('api_keys', 'name', 'key of a', 'key of x', 'analyze, costs off, timing off, summary off'), '',
    'on a''s own rows it does'
);

-- With statistics, and without ANALYZE: the number of rows that is expected. Known limit: for columns that have
-- statistics, such as ids and times, it follows from those.
set local session authorization postgres;
analyze limena.tenants, limena.users, limena.memberships, limena.invitations, limena.api_keys, limena.audit_logs;
set local session authorization limena_app;
select
    is(
        tests.difference(g.relation, g.column_name, g.existing, g.missing, 'verbose'), '',
        format('what is expected does not tell %s.%s of b from a wrong guess', g.relation, g.column_name)
    )
from guesses as g
where g.column_name in ('name', 'email', 'prefix', 'last_four', 'entity_id');

-- In a forged context a policy that runs raises an error, and one that does not run is silent: the same question
-- without EXPLAIN.
select tests.enter_as('a', 'owner');
select set_config('app.seal', repeat('0', 64), true);
select
    is(
        tests.difference(
            g.relation, g.column_name, g.existing, g.missing, 'analyze, costs off, timing off, summary off'
        ),
        '',
        format('nor does an error tell %s.%s of b from a wrong guess', g.relation, g.column_name)
    )
from guesses as g;

-- limena_app may put no condition on what is not a tenant's.
select is(
    array(
        select c.relname::text
        from pg_class as c
        where
            c.relnamespace = 'limena'::regnamespace
            and c.relkind in ('r', 'p')
            and has_any_column_privilege(c.oid, 'select')
            and c.relname not in ('permissions', 'role_permissions', 'tenants', 'sessions', 'session_uses')
            and not exists (
                select from pg_attribute as a
                where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
            )
    ),
    '{}',
    'limena_app reads no table without a tenant, but its person''s own sessions'
);
-- Each index that it can search begins with the tenant, or is searched by the tenant all the same.
select is(
    array(
        select distinct x.indexrelid::regclass::text || ' on ' || a.attname
        from pg_index as x
        inner join
            pg_class as c
            on x.indrelid = c.oid and c.relnamespace = 'limena'::regnamespace and not c.relispartition
        -- Its columns, and those in its expressions.
        inner join pg_attribute as a
            on
                c.oid = a.attrelid
                and (
                    a.attnum = any(x.indkey)
                    or exists (
                        select
                        from pg_depend as d
                        where
                            d.classid = 'pg_class'::regclass
                            and x.indexrelid = d.objid
                            and c.oid = d.refobjid
                            and a.attnum = d.refobjsubid
                    )
                )
        where
            has_column_privilege(c.oid, a.attnum, 'select')
            and c.relname not in ('permissions', 'role_permissions')
            -- A condition on a column that limena_app cannot name keeps its queries from the index.
            and not exists (
                select
                from pg_depend as h
                where
                    x.indpred is not null
                    and h.classid = 'pg_class'::regclass
                    and x.indexrelid = h.objid
                    and c.oid = h.refobjid
                    and h.refobjsubid > 0
                    and h.refobjsubid <> all(x.indkey)
                    and not has_column_privilege(c.oid, h.refobjsubid::smallint, 'select')
            )
            and not exists (
                select
                from pg_attribute as t
                where
                    t.attrelid = c.oid
                    and t.attnum = any(x.indkey)
                    and t.attname = case
                        when c.relname = 'tenants' then 'id'
                        when c.relname = 'sessions' then 'user_id'
                        else 'tenant_id'
                    end
            )
        order by 1
    ),
    -- By a random id: it tells whether there is a session of that id, to who has the id. By the place in the log: it
    -- tells how much there is between two rows, as their numbers do.
    '{"audit_logs_seq_idx on seq","session_uses_pkey on session_id","sessions_pkey on id"}',
    'and searches no index that knows nothing of tenants, or of the person'
);

-- Every condition of a policy that compares a tenant does it in the form that comes first.
select is(
    array(
        select p.polname::text
        from pg_policy as p
        where
            'limena_app'::regrole = any(p.polroles)
            and p.polcmd in ('r', 'w', 'd', '*')
            and pg_get_expr(p.polqual, p.polrelid) !~ '^\(*(tenant_id|id|user_id) = ANY \(ARRAY\[\( *SELECT '
    ),
    '{}',
    'every policy begins with the tenant or the person, as an array of one'
);

select * from finish();
rollback;
