-- The catalogs, searched for a right too many: roles, schemas, database, PostgreSQL's own functions. Independent of
-- limena.self_check(), which a deploy runs.
begin;
select plan(13);

-- The five roles.
select results_eq(
    $q$select tests.lines(
        $$select concat_ws(
            ' ', r.rolname, case when r.rolcanlogin then 'login' end, case when r.rolinherit then 'inherit' end,
            case when r.rolsuper then 'superuser' end, case when r.rolbypassrls then 'bypassrls' end,
            case when r.rolcreaterole then 'createrole' end, case when r.rolcreatedb then 'createdb' end,
            case when r.rolreplication then 'replication' end
        )
        from pg_roles as r
        where r.rolname like 'limena\_%'$$
    )$q$,
    array[
        'limena_app login', 'limena_auth login', 'limena_maintenance login', 'limena_owner', 'limena_readonly login'
    ],
    'four that log in, one that does not, and none that could do more'
);
select is_empty(
    $$select m.member::regrole, m.roleid::regrole from pg_auth_members as m
    where m.member::regrole::text like 'limena\_%'$$,
    'none is a member of anything'
);
select is_empty(
    $$select r.rolname
    from pg_roles as r
    where r.rolname <> 'limena_owner' and not r.rolsuper and pg_has_role(r.oid, 'limena_owner', 'usage')$$,
    'nobody inherits from limena_owner, least of all one who logs in'
);
select is_empty(
    $$select r.rolname, o.rolname
    from pg_roles as r
    cross join pg_roles as o
    where r.rolname like 'limena\_%' and o.oid <> r.oid and pg_has_role(r.oid, o.oid, 'member')$$,
    'none can become another'
);
select is_empty(
    $$select s.setrole::regrole, s.setconfig
    from pg_db_role_setting as s
    where s.setrole::regrole::text like 'limena\_%'
        or s.setdatabase = (select d.oid from pg_database as d where d.datname = current_database())$$,
    'none has settings that would win over those of a connection'
);

-- Schemas. Those of these tests are no deployment's.
select results_eq(
    $q$select tests.lines($$select n.nspname || ': ' || coalesce(r.rolname, 'public') || ' ' || lower(x.privilege_type)
    from pg_namespace as n
    cross join lateral aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as x
    left join pg_roles as r on x.grantee = r.oid
    where n.nspname !~ '^pg_'
        and n.nspname not in ('information_schema', 'tests', 'pgtap')
        and x.grantee <> n.nspowner$$)$q$,
    array[
        'limena: limena_app usage',
        'limena: limena_auth usage',
        'limena: limena_maintenance usage',
        'limena: limena_readonly usage'
    ],
    'each may use limena, nobody anything else: limena_private and public are closed'
);
select is_empty(
    $$select n.nspname, r.rolname
    from pg_namespace as n
    cross join pg_roles as r
    where r.rolname in ('limena_app', 'limena_auth', 'limena_readonly', 'limena_maintenance')
        and has_schema_privilege(r.oid, n.oid, 'create')$$,
    'nobody creates an object'
);

-- The database.
select results_eq(
    $q$select tests.lines($$select coalesce(r.rolname, 'public') || ' ' || lower(x.privilege_type)
    from pg_database as d
    cross join lateral aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) as x
    left join pg_roles as r on x.grantee = r.oid
    where d.datname = current_database() and x.grantee <> d.datdba$$)$q$,
    array['limena_app connect', 'limena_auth connect', 'limena_maintenance connect', 'limena_readonly connect'],
    'the four connect, and nobody makes temporary tables'
);

-- What PostgreSQL lets everyone do, and not here: reach into other sessions, keep large objects, write into the stream
-- of changes.
select is_empty(
    $$select p.oid::regprocedure, r.rolname
    from pg_proc as p
    cross join pg_roles as r
    where p.pronamespace = 'pg_catalog'::regnamespace
        and p.proname in (
            'pg_terminate_backend', 'pg_cancel_backend', 'lo_creat', 'lo_create', 'lo_from_bytea',
            'pg_logical_emit_message'
        )
        and r.rolname like 'limena\_%'
        and has_function_privilege(r.oid, p.oid, 'execute')$$,
    'no role of ours ends another''s request'
);
select is_empty(
    $$select p.oid::regprocedure, r.rolname
    from pg_proc as p
    cross join pg_roles as r
    where p.pronamespace = 'pg_catalog'::regnamespace
        and p.proname in (
            'pg_read_file', 'pg_read_binary_file', 'pg_ls_dir', 'lo_import', 'lo_export', 'pg_stat_file',
            'pg_reload_conf'
        )
        and r.rolname like 'limena\_%'
        and has_function_privilege(r.oid, p.oid, 'execute')$$,
    'nor reads a file'
);
select is_empty('select l.oid from pg_largeobject_metadata as l', 'there is no large object');
select is_empty(
    $$select x.privilege_type
    from pg_foreign_data_wrapper as w
    cross join lateral aclexplode(w.fdwacl) as x
    union all
    select x.privilege_type
    from pg_foreign_server as s
    cross join lateral aclexplode(s.srvacl) as x$$,
    'no way to another server'
);
select results_eq(
    $q$select tests.lines('select l.lanname from pg_language as l where l.lanname <> ''c''')$q$,
    array['internal', 'plpgsql', 'sql'],
    'and no language in which a function could do more'
);

select * from finish();
rollback;
