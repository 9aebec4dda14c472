-- The promises that the catalogs can show. A deploy that breaks one rolls back; `limena doctor` asks again at any time,
-- for a database is also altered by hand.
--
-- SECURITY DEFINER because it compares with lists in limena_private. It takes no argument and returns no data of a
-- tenant.
create or replace function limena.self_check()
returns table (check_name text, object text, finding text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query

    -- 1. Whoever could get round row-level security.
    select 'roles', r.rolname::text, 'is a superuser or has BYPASSRLS, CREATEROLE, CREATEDB or REPLICATION'
    from pg_roles as r
    where r.rolname in ('limena_owner', 'limena_app', 'limena_auth', 'limena_readonly', 'limena_maintenance')
        and (r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb or r.rolreplication)
    union all
    select 'roles', 'limena_owner', 'can log in'
    from pg_roles as r
    where r.rolname = 'limena_owner' and r.rolcanlogin
    union all
    select 'roles', r.rolname::text, 'has the rights of limena_owner without SET ROLE'
    from pg_roles as r
    where r.rolname <> 'limena_owner' and not r.rolsuper and pg_has_role(r.oid, 'limena_owner', 'USAGE')
    union all
    select 'roles', r.rolname::text, 'can become limena_owner'
    from pg_roles as r
    where r.rolname in ('limena_app', 'limena_auth', 'limena_readonly', 'limena_maintenance')
        and pg_has_role(r.oid, 'limena_owner', 'MEMBER')
    union all
    select 'roles', m.rolname::text || ' in ' || g.rolname::text, 'one role of Limena is a member of another role'
    from pg_auth_members as a
    inner join pg_roles as m on a.member = m.oid
    inner join pg_roles as g on a.roleid = g.oid
    where m.rolname in ('limena_owner', 'limena_app', 'limena_auth', 'limena_readonly', 'limena_maintenance')
    union all

    -- 2. Every table with tenant data, and every partition, is under forced row-level security.
    select 'isolation', i.schema_name || '.' || i.relation_name, i.verdict
    from limena.isolation_report as i
    where i.schema_name = 'limena' and i.verdict <> 'ok'
    union all
    select 'isolation', c.oid::regclass::text, 'does not belong to limena_owner'
    from pg_class as c
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and c.relowner <> 'limena_owner'::regrole
    union all
    select 'isolation', c.oid::regclass::text, 'is a materialized view, or a view that does not run as its caller'
    from pg_class as c
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and (c.relkind = 'm' or c.relkind = 'v' and not coalesce('security_invoker=true' = any (c.reloptions), false))
    union all
    select 'isolation', c.oid::regclass::text, 'has a rule'
    from pg_class as c
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and c.relkind in ('r', 'p')
        and c.relhasrules
        and exists (select from pg_rewrite as r where r.ev_class = c.oid)
    union all
    select 'policies', p.polrelid::regclass::text || ': ' || p.polname, 'is not for one role that has policies'
    from pg_policy as p
    inner join pg_class as c on p.polrelid = c.oid
    where c.relnamespace = 'limena'::regnamespace
        and (
            cardinality(p.polroles) <> 1
            or p.polroles[1] not in (select r.oid from pg_roles as r where r.rolname in ('limena_app', 'limena_readonly', 'limena_owner'))
        )
    union all
    select 'policies', p.polrelid::regclass::text || ': ' || p.polname, 'does not ask for the tenant or the person'
    from pg_policy as p
    inner join pg_class as c on p.polrelid = c.oid
    cross join lateral unnest(array[pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)]) as e (expression)
    where c.relnamespace = 'limena'::regnamespace
        and p.polroles[1] = 'limena_app'::regrole
        and e.expression !~ 'limena\.(current_tenant_id|current_user_id|current_session_user_id|tenant_with|tenant_even_frozen|holds)\('
    union all
    -- Two forms, so that a reader knows them all: by tenant; all or nothing where there is no tenant.
    select 'policies', p.polrelid::regclass::text || ': ' || p.polname, 'is not in the form of limena_readonly''s policies'
    from pg_policy as p
    inner join pg_class as c on p.polrelid = c.oid
    cross join lateral (
        select
            regexp_replace(replace(pg_get_expr(p.polqual, p.polrelid), 'limena.', ''), '\s+|\mAS \w+', '', 'g') as text,
            case c.relname when 'tenants' then 'id' else 'tenant_id' end as tenant
    ) as e
    where c.relnamespace = 'limena'::regnamespace
        and p.polroles[1] = 'limena_readonly'::regrole
        and (
            p.polcmd <> 'r'
            or e.text is distinct from format(
                '(((%1$s=ANY(ARRAY[(SELECTcovered_tenant_id())]))OR(SELECTcovers_all()))'
                'AND((%1$s>=(SELECTcovered_from()))AND(%1$s<=(SELECTcovered_to()))))',
                e.tenant
            )
            and (
                coalesce(e.text !~ '^\(\(SELECTcovers_all\(\)\)(AND\((\w+|LEAST\(\w+,\w+\))>=CASEWHEN\(SELECTcovers_all\(\)\)THEN''([0-]*|-infinity)''::(uuid|text|timestampwithtimezone)ELSENULL::(uuid|text|timestampwithtimezone)END\))+\)$', true)
                or c.relname = 'tenants'
                or exists (
                    select from pg_attribute as a
                    where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
                )
                -- An index whose first column is not bounded would be searched before the policy is asked.
                or exists (
                    select from pg_index as x
                    inner join pg_attribute as a on x.indrelid = a.attrelid and x.indkey[0] = a.attnum
                    where x.indrelid = c.oid
                        and has_column_privilege('limena_readonly', c.oid, a.attnum, 'SELECT')
                        and position('(' || a.attname || '>=CASE' in e.text) = 0
                )
            )
        )
    union all
    -- What limena_readonly may read and has no policy for would stay empty for every operator.
    select 'policies', c.oid::regclass::text, 'is granted to limena_readonly and has no policy for it'
    from pg_class as c
    where c.relnamespace = 'limena'::regnamespace
        and c.relrowsecurity
        and not c.relispartition
        and has_any_column_privilege('limena_readonly', c.oid, 'SELECT')
        and not exists (
            select from pg_policy as p where p.polrelid = c.oid and p.polroles[1] = 'limena_readonly'::regrole
        )
    union all
    select 'policies', 'limena.audit_logs: ' || p.polname, 'changes what may be done to the log'
    from pg_policy as p
    where p.polrelid = 'limena.audit_logs'::regclass
        and (
            p.polcmd not in ('r', 'a', 'd')
            or p.polcmd <> 'r' and p.polroles[1] <> 'limena_owner'::regrole
            or p.polcmd = 'd' and pg_get_expr(p.polqual, p.polrelid) <> '(occurred_at < (now() - ''30 days''::interval))'
        )
    union all
    select 'isolation', c.oid::regclass::text, 'a partition has a policy or a grant of its own'
    from pg_class as c
    where c.relnamespace = 'limena'::regnamespace
        and c.relispartition
        and c.relkind in ('r', 'p')
        and (
            exists (select from pg_policy as p where p.polrelid = c.oid)
            or exists (select from aclexplode(c.relacl) as x where x.grantee <> c.relowner)
            or exists (select from pg_attribute as a where a.attrelid = c.oid and a.attacl is not null)
        )
    union all
    select 'isolation', c.oid::regclass::text, 'tenant_id is not the first column of a primary key, a unique key or a foreign key to a tenant table'
    from pg_class as c
    inner join pg_attribute as t on c.oid = t.attrelid and t.attname = 'tenant_id' and not t.attisdropped
    inner join pg_constraint as k on c.oid = k.conrelid
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p')
        and (
            k.contype in ('p', 'u')
            or k.contype = 'f' and exists (
                select from pg_attribute as f
                where f.attrelid = k.confrelid and f.attname = 'tenant_id' and not f.attisdropped
            )
        )
        and k.conkey[1] <> t.attnum
        -- A secret's hash is unique on its own; so is the id of a mail, which its token is made of.
        and k.conname not in (
            'api_keys_key_hash_key', 'invitations_token_hash_key', 'operator_access_ticket_hash_key', 'outbox_id_key'
        )
    union all
    select 'isolation', x.indexrelid::regclass::text, 'a unique index does not begin with tenant_id'
    from pg_index as x
    inner join pg_class as c on x.indrelid = c.oid
    inner join pg_attribute as t on c.oid = t.attrelid and t.attname = 'tenant_id' and not t.attisdropped
    where c.relnamespace = 'limena'::regnamespace
        and x.indisunique
        and x.indkey[0] <> t.attnum
        and x.indexrelid::regclass::text not in (
            'limena.api_keys_key_hash_key', 'limena.invitations_token_hash_key', 'limena.operator_access_ticket_hash_key',
            'limena.outbox_id_key'
        )
    union all

    -- 3. Every table is audited, or on the list of those that are not.
    select 'audit', c.oid::regclass::text, 'has no audit triggers and is not on the list of exceptions'
    from pg_class as c
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p')
        and not c.relispartition
        and c.relname not in (
            'audit_logs', 'audit_seals', 'session_uses', 'api_key_uses', 'api_key_rates', 'log_in_failures', 'ai_quotas', 'ai_quota_months',
            'ai_reservations', 'ai_usage_logs', 'ai_usage_days'
        )
        and 4 <> (
            select count(*)
            from pg_trigger as g
            where g.tgrelid = c.oid
                and g.tgfoid = 'limena_private.record_changes()'::regprocedure
                and g.tgenabled in ('O', 'A')
                and g.tgname in ('audit_insert', 'audit_update', 'audit_delete', 'audit_truncate')
                and g.tgqual is null
                and cardinality(g.tgattr::smallint[]) = 0
        )
    union all
    select 'audit', c.oid::regclass::text, 'has audit triggers and is not registered'
    from pg_class as c
    where c.relnamespace = 'limena'::regnamespace
        and exists (select from pg_trigger as g where g.tgrelid = c.oid and g.tgfoid = 'limena_private.record_changes()'::regprocedure)
        and not exists (select from limena_private.audited_tables as t where t.relation = c.oid)
    union all
    select 'audit', t.relation::text || '.' || a.attname, 'looks like a secret and is not redacted'
    from limena_private.audited_tables as t
    inner join pg_attribute as a on t.relation = a.attrelid and a.attnum > 0 and not a.attisdropped
    where (a.atttypid = 'bytea'::regtype or a.atttypid <> all ('{timestamptz, integer, bigint}'::regtype[]) and a.attname ~ '(hash|secret|token|password)')
        and a.attname <> all (t.redacted_columns)
    union all
    -- What could be written, out of the tables that are registered and of the procedures' texts.
    select 'audit', w.name, 'is not in limena.audit_actions'
    from (
        select t.entity_type || '.' || v.verb as name
        from limena_private.audited_tables as t
        cross join unnest('{created, updated, deleted, truncated}'::text[]) as v (verb)
        where t.relation::text like 'limena.%'
        union
        select n.pair ->> 1
        from limena_private.audited_tables as t
        cross join lateral jsonb_array_elements(t.column_actions) as n (pair)
        where t.relation::text like 'limena.%'
        union
        select l.found[1]
        from pg_proc as p
        cross join lateral regexp_matches(p.prosrc, 'p_action => ([^\n]*)', 'g') as e (found)
        cross join lateral regexp_matches(e.found[1], '''([a-z_]+\.[a-z_]+)''', 'g') as l (found)
        where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
    ) as w
    where not exists (select from limena.audit_actions as a where a.name = w.name)
    union all
    select 'audit', p.oid::regprocedure::text, 'records an action that is no literal'
    from pg_proc as p
    cross join lateral regexp_matches(p.prosrc, 'record_(?:user_)?event\(([^;]*)', 'g') as e (found)
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.proname not in ('record_changes', 'record_event', 'record_user_event')
        and e.found[1] !~ 'p_action => (''[a-z_]+\.[a-z_]+''|case )'
    union all
    select 'audit', 'limena.audit_logs', 'has no partition for ' || to_char(m.month, 'YYYY-MM')
    from unnest(array[date_trunc('month', now() at time zone 'UTC'), date_trunc('month', now() at time zone 'UTC') + interval '1 month']) as m (month)
    where not exists (
        select from pg_inherits as h
        where h.inhparent = 'limena.audit_logs'::regclass
            and h.inhrelid = to_regclass('limena.audit_logs_' || to_char(m.month, 'YYYY_MM'))
    )
    union all
    select 'audit', coalesce(r.rolname::text, 'PUBLIC'), 'may ' || x.privilege_type || ' on ' || c.oid::regclass::text
    from pg_class as c
    cross join lateral (
        select a.grantee, a.privilege_type
        from aclexplode(c.relacl) as a
        union all
        select a.grantee, a.privilege_type
        from pg_attribute as b
        cross join lateral aclexplode(b.attacl) as a
        where b.attrelid = c.oid
    ) as x
    left join pg_roles as r on x.grantee = r.oid
    where c.relnamespace = 'limena'::regnamespace
        and c.relname like 'audit\_logs%'
        and x.grantee <> c.relowner
        and x.privilege_type <> 'SELECT'
    union all

    -- 4. Who may call and read what.
    select 'functions', p.oid::regprocedure::text, 'is executable by PUBLIC'
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and exists (
            select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as x where x.grantee = 0
        )
    union all
    select 'functions', p.oid::regprocedure::text, 'does not belong to limena_owner'
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.proowner <> 'limena_owner'::regrole
    union all
    select 'functions', p.oid::regprocedure::text, 'is SECURITY DEFINER and not on the list'
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.prosecdef
        and not exists (
            select from limena_private.definer_functions as d
            where d.name = p.pronamespace::regnamespace::text || '.' || p.proname
        )
    union all
    select 'functions', min(p.oid::regprocedure::text), 'has a namesake: ' || count(*) || ' functions share one name'
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
    group by p.pronamespace, p.proname
    having count(*) > 1
    union all
    select 'functions', p.oid::regprocedure::text, 'belongs to limena_owner and is outside of its schemas'
    from pg_proc as p
    where p.proowner = 'limena_owner'::regrole
        and p.pronamespace not in ('limena'::regnamespace, 'limena_private'::regnamespace)
    union all
    select 'functions', d.name, 'is on the list of SECURITY DEFINER functions and is none'
    from limena_private.definer_functions as d
    where not exists (
        select from pg_proc as p
        where p.prosecdef and d.name = p.pronamespace::regnamespace::text || '.' || p.proname
    )
    union all
    select 'functions', 'default privileges', 'functions would be executable by PUBLIC'
    where not exists (
        select from pg_default_acl as a
        where a.defaclrole = 'limena_owner'::regrole and a.defaclnamespace = 0 and a.defaclobjtype = 'f'
            and not exists (select from aclexplode(a.defaclacl) as x where x.grantee = 0)
    )
    or exists (
        select from pg_default_acl as a
        cross join lateral aclexplode(a.defaclacl) as x
        where a.defaclrole = 'limena_owner'::regrole and x.grantee <> 'limena_owner'::regrole
    )
    union all
    select 'functions', p.oid::regprocedure::text, 'does not pin search_path = pg_catalog, pg_temp'
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        -- These are reached through definer functions alone, and every name in them is qualified.
        and p.oid::regprocedure::text not in (
            'limena_private.seal(bytea,text,text)', 'limena_private.verified_context()', 'limena_private.platform_tenant_id()',
            'limena.csv_text(text)',
            'limena.ai_clock()'
        )
        and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
    union all
    select 'functions', p.oid::regprocedure::text, 'is executable by others than the list says: ' || coalesce(g.granted_to, 'nobody')
    from pg_proc as p
    inner join limena_private.definer_functions as d on d.name = p.pronamespace::regnamespace::text || '.' || p.proname
    cross join lateral (
        select string_agg(r.rolname::text, ', ' order by r.rolname) as granted_to
        from aclexplode(p.proacl) as x
        inner join pg_roles as r on x.grantee = r.oid
        where x.grantee <> p.proowner
    ) as g
    where p.prosecdef and g.granted_to is distinct from d.granted_to
    union all
    select 'functions', p.oid::regprocedure::text, 'is executable by ' || r.rolname
    from pg_proc as p
    cross join lateral aclexplode(p.proacl) as x
    inner join pg_roles as r on x.grantee = r.oid
    where (p.pronamespace = 'limena_private'::regnamespace or p.oid = 'limena.promote_user(text)'::regprocedure)
        and not p.prosecdef
        and x.grantee <> p.proowner
    union all
    -- What an IMMUTABLE function answers is kept for another tenant; in a parallel worker there is no context.
    select 'functions', p.oid::regprocedure::text, 'reads the context and is not STABLE and PARALLEL RESTRICTED'
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.proname in (
            'current_context', 'current_permissions', 'current_tenant_id', 'current_user_id', 'find_people',
            'has_permission', 'holds', 'is_withheld', 'require', 'require_even_frozen', 'seal', 'tenant_even_frozen', 'tenant_with',
            'verified_context'
        )
        and (p.provolatile <> 's' or p.proparallel <> 'r')
    union all
    select 'functions', p.oid::regprocedure::text, 'enters a context and is not VOLATILE and PARALLEL UNSAFE'
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.proname in ('enter_api_key', 'enter_session', 'resume_access', 'seal_context')
        and (p.provolatile <> 'v' or p.proparallel <> 'u')
    union all
    select 'secrets', x.grantee || ' on ' || x.object, 'may read a hash or a password'
    from (
        select coalesce(r.rolname::text, 'PUBLIC') as grantee, c.oid::regclass::text || '.' || a.attname as object
        from pg_class as c
        inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
        cross join lateral (
            select y.grantee, y.privilege_type
            from aclexplode(a.attacl) as y
            union all
            select y.grantee, y.privilege_type
            from aclexplode(c.relacl) as y
        ) as y
        left join pg_roles as r on y.grantee = r.oid
        where c.relnamespace = 'limena'::regnamespace
            and c.relkind in ('r', 'p')
            and (a.atttypid = 'bytea'::regtype or a.atttypid <> all ('{timestamptz, integer, bigint}'::regtype[]) and a.attname ~ '(hash|secret|token|password)')
            and y.grantee <> c.relowner
            and y.privilege_type in ('SELECT', 'UPDATE')
    ) as x
    union all
    select 'grants', c.oid::regclass::text, g.grantee || ' may ' || g.privilege || ' and is not on the list of who may'
    from pg_class as c
    cross join lateral (
        select coalesce(r.rolname::text, 'PUBLIC') as grantee, lower(x.privilege_type) as privilege
        from (
            select y.grantee, y.privilege_type
            from aclexplode(c.relacl) as y
            union
            select y.grantee, y.privilege_type
            from pg_attribute as a
            cross join lateral aclexplode(a.attacl) as y
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        ) as x
        left join pg_roles as r on x.grantee = r.oid
        where x.grantee <> c.relowner and (x.privilege_type <> 'SELECT' or c.relnamespace = 'limena_private'::regnamespace)
    ) as g
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and not exists (
            select from limena_private.granted_writes as w
            where w.relation = c.oid::regclass::text and w.role = g.grantee and w.privilege = g.privilege
        )
    union all
    select 'schemas', n.nspname::text, coalesce(r.rolname::text, 'PUBLIC') || ' may ' || x.privilege_type
    from pg_namespace as n
    cross join lateral aclexplode(n.nspacl) as x
    left join pg_roles as r on x.grantee = r.oid
    where x.grantee <> n.nspowner
        and (
            n.nspname = 'limena_private'
            or n.nspname = 'limena' and (x.privilege_type <> 'USAGE' or x.grantee = 0)
            or n.nspname = 'public' and x.privilege_type = 'CREATE' and (
                x.grantee = 0
                or r.rolname in ('limena_owner', 'limena_app', 'limena_auth', 'limena_readonly', 'limena_maintenance')
            )
        )
    union all
    select 'database', d.datname::text, coalesce(r.rolname::text, 'PUBLIC') || ' may ' || x.privilege_type
    from pg_database as d
    cross join lateral aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) as x
    left join pg_roles as r on x.grantee = r.oid
    where d.datname = current_database()
        and (x.grantee = 0 or r.rolname in ('limena_app', 'limena_auth', 'limena_readonly', 'limena_maintenance'))
        and x.privilege_type in ('TEMPORARY', 'CREATE')
    union all
    select 'database', d.datname::text, 'its encoding is not UTF8'
    from pg_database as d
    where d.datname = current_database() and pg_encoding_to_char(d.encoding) <> 'UTF8'
    union all

    -- 5. Nothing was altered by hand: all is as the last deploy left it.
    select
        'definitions',
        coalesce(n.object, d.object),
        case
            when d.object is null then 'is not from a deploy'
            when n.object is null then 'is missing'
            else 'was altered after the deploy'
        end
    from limena_private.definitions as n
    full join limena_private.deployed_definitions as d on n.object = d.object
    where n.sha256 is distinct from d.sha256
        and exists (
            select from limena_private.deployed_definitions as e
            where e.server_major = current_setting('server_version_num')::integer / 10000
        )
    union all
    select 'definitions', current_database()::text, 'is not yet described by this version of PostgreSQL: run limena deploy'
    where not exists (
        select from limena_private.deployed_definitions as e
        where e.server_major = current_setting('server_version_num')::integer / 10000
    )
    union all

    -- 6. Statistics tell of values what row-level security hides.
    select 'statistics', a.attrelid::regclass::text || '.' || a.attname, 'has statistics'
    from pg_attribute as a
    inner join pg_class as c on a.attrelid = c.oid
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p')
        and a.attnum > 0
        and not a.attisdropped
        and a.attname in (
            'email', 'display_name', 'login', 'reason', 'ticket_hash', 'ip', 'user_agent', 'actor_label', 'changes', 'details', 'last_four', 'prefix',
            'recipient', 'parameters', 'tenant_name', 'subject', 'key_hash', 'token_hash', 'secret_hash', 'password_hash', 'entity_id', 'request_id', 'actor_id', 'name',
            'model', 'idempotency_key'
        )
        and c.relname <> 'permissions'
        and a.attstattarget is distinct from 0;
end;
$$;

comment on function limena.self_check() is
'Every promise that the catalogs show to be broken: one row a finding, none when all is well.';

grant execute on function limena.self_check() to limena_maintenance;
