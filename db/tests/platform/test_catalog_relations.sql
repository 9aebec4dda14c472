-- The catalogs, searched for the table that somebody forgets next year: every relation of limena, whatever it is
-- called. Independent of limena.self_check(), which a deploy runs.
begin;
select plan(29);

-- What there is. Whoever adds a relation comes by here, and then through the rest of this file.
select results_eq(
    $q$select tests.lines($$select c.relkind::text || ' ' || n.nspname || '.' || c.relname
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where n.nspname in ('limena', 'limena_private') and c.relkind not in ('i', 'I') and not c.relispartition$$)$q$,
    array[
        'S limena.audit_logs_seq_seq',
        'p limena.ai_usage_logs',
        'p limena.audit_logs',
        'r limena.ai_quota_months',
        'r limena.ai_quotas',
        'r limena.ai_reservations',
        'r limena.ai_settings',
        'r limena.ai_usage_days',
        'r limena.api_key_rates',
        'r limena.api_key_uses',
        'r limena.api_keys',
        'r limena.audit_seals',
        'r limena.integration_credentials',
        'r limena.integration_flows',
        'r limena.integrations',
        'r limena.invitations',
        'r limena.log_in_failures',
        'r limena.memberships',
        'r limena.operator_access',
        'r limena.outbox',
        'r limena.password_resets',
        'r limena.permissions',
        'r limena.refresh_tokens',
        'r limena.registrations',
        'r limena.role_permissions',
        'r limena.session_uses',
        'r limena.sessions',
        'r limena.tenants',
        'r limena.users',
        'r limena_private.audit_fences',
        'r limena_private.audited_tables',
        'r limena_private.deployed_definitions',
        'r limena_private.deployed_files',
        'r limena_private.seal_keys',
        'r limena_private.tenant_salts',
        'v limena.ai_limits',
        'v limena.ai_quota_states',
        'v limena.ai_usage_export',
        'v limena.audit_actions',
        'v limena.audit_export',
        'v limena.function_report',
        'v limena.isolation_report',
        'v limena.permission_matrix',
        'v limena_private.audit_digests',
        'v limena_private.definer_functions',
        'v limena_private.definitions',
        'v limena_private.granted_writes'
    ],
    'exactly these relations'
);
select is_empty(
    $$select c.oid::regclass
    from pg_class as c
    where c.relnamespace = 'limena'::regnamespace
        and c.relispartition
        and c.relkind = 'r'
        and c.relname !~ '^(audit_logs|ai_usage_logs)_\d{4}_\d\d$'$$,
    'and the months of the two logs'
);
select is_empty(
    $$select c.relname from pg_class as c where c.relnamespace = 'public'::regnamespace
    union all
    select p.proname from pg_proc as p where p.pronamespace = 'public'::regnamespace$$,
    'nothing is in public'
);
select is_empty(
    $$select c.oid::regclass
    from pg_class as c
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and c.relowner <> 'limena_owner'::regrole$$,
    'limena_owner owns each of them'
);
select is_empty(
    $$select c.oid::regclass
    from pg_class as c
    where c.relowner = 'limena_owner'::regrole
        and c.relnamespace not in ('limena'::regnamespace, 'limena_private'::regnamespace, 'pg_toast'::regnamespace)$$,
    'and nothing else'
);

-- Row-level security.
select is_empty(
    $$select c.oid::regclass
    from pg_class as c
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p', 'f', 'm')
        and not (c.relrowsecurity and c.relforcerowsecurity)
        and c.relname not in ('permissions', 'role_permissions')$$,
    'row-level security is forced on every table and partition but the two that hold no tenant''s data'
);
select is_empty(
    $$select a.attrelid::regclass
    from pg_attribute as a
    inner join pg_class as c on a.attrelid = c.oid
    where c.relname in ('permissions', 'role_permissions')
        and c.relnamespace = 'limena'::regnamespace
        and a.attname ~ '(_id|^id)$'$$,
    'which name no tenant and no person'
);
select is_empty(
    $$select c.oid::regclass
    from pg_class as c
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and (
            c.relkind = 'm'
            or c.relkind = 'v' and not coalesce('security_invoker=true' = any(c.reloptions), false)
            or c.relkind <> 'v' and exists (select from pg_rewrite as w where w.ev_class = c.oid)
        )$$,
    'every view runs as its caller; there is no materialized view and no rule'
);
select is_empty(
    $$select p.polrelid::regclass, p.polname
    from pg_policy as p
    inner join pg_class as c on p.polrelid = c.oid
    where c.relnamespace = 'limena'::regnamespace
        and (
            not p.polpermissive
            or cardinality(p.polroles) <> 1
            or p.polname <> concat_ws(
                '_',
                c.relname,
                case p.polcmd
                    when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
                end,
                replace(p.polroles[1]::regrole::text, 'limena_', '')
            )
        )$$,
    'each policy is for one command and one role, and is called so'
);
select is_empty(
    $$select p.polrelid::regclass, p.polname
    from pg_policy as p
    -- A tenant's tables ask for the tenant; those of people, for the person.
    inner join (
        select
            k.oid,
            k.relnamespace,
            case
                when k.relname in ('sessions', 'session_uses') then '^\(+user_id = ANY \(ARRAY\[\( *SELECT (limena\.)?current_session_user_id\('
                else '(tenant_with|tenant_even_frozen|current_tenant_id|holds)\('
            end as context
        from pg_class as k
    ) as c on p.polrelid = c.oid
    where c.relnamespace = 'limena'::regnamespace
        and case p.polroles[1]::regrole::text
            when 'limena_owner' then coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') <> 'true'
                and p.polname <> 'audit_logs_delete_owner'
                or coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') <> 'true'
            when 'limena_app' then
                coalesce(pg_get_expr(p.polqual, p.polrelid) !~ c.context, false)
                or coalesce(pg_get_expr(p.polwithcheck, p.polrelid) !~ c.context, false)
            when 'limena_readonly' then p.polcmd <> 'r' or pg_get_expr(p.polqual, p.polrelid) !~ '^\(+(tenant_id|id) = ANY \(ARRAY\[\( SELECT (limena\.)?covered_tenant_id\(|^\(\( SELECT (limena\.)?covers_all\('
            else true
        end$$,
    'a policy of limena_app asks for the context, limena_readonly''s for a declared access; limena_owner''s are true'
);
select is_empty(
    $$select p.polrelid::regclass, p.polname
    from pg_policy as p
    inner join pg_class as c on p.polrelid = c.oid
    where c.relnamespace = 'limena'::regnamespace and c.relispartition$$,
    'no partition has a policy: nobody reaches it but through its table'
);

-- Keys: no row points into another tenant, and none can be found by a key that leaves the tenant out.
select is_empty(
    $$select a.attrelid::regclass
    from pg_attribute as a
    inner join pg_class as c on a.attrelid = c.oid
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p')
        and a.attname = 'tenant_id'
        and not (a.attnum = 1 and a.attnotnull and a.atttypid = 'uuid'::regtype)$$,
    'tenant_id is the first column, a uuid, and never NULL'
);
select results_eq(
    $q$select tests.lines($$select i.relname::text
    from pg_index as x
    inner join pg_class as i on x.indexrelid = i.oid
    inner join pg_attribute as t on x.indrelid = t.attrelid and t.attname = 'tenant_id'
    inner join pg_class as c on x.indrelid = c.oid
    where c.relnamespace = 'limena'::regnamespace
        and (x.indisunique or x.indisexclusion)
        and x.indkey[0] <> t.attnum$$)$q$,
    array['api_keys_key_hash_key', 'invitations_token_hash_key', 'operator_access_ticket_hash_key', 'outbox_id_key'],
    'it is the first of each primary and unique key; hashes of secrets and what tokens are made of need it not'
);
select is_empty(
    $$select c.oid::regclass
    from pg_class as c
    inner join pg_attribute as t on c.oid = t.attrelid and t.attname = 'tenant_id'
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p')
        and not exists (select from pg_constraint as k where k.conrelid = c.oid and k.contype = 'p')$$,
    'every table with a tenant has a primary key'
);
select is_empty(
    $$select k.conrelid::regclass, k.conname
    from pg_constraint as k
    inner join pg_attribute as f on k.confrelid = f.attrelid and f.attname = 'tenant_id'
    inner join pg_attribute as m on k.conrelid = m.attrelid and m.attnum = k.conkey[1]
    where k.contype = 'f'
        and k.connamespace = 'limena'::regnamespace
        and (k.confkey[1] <> f.attnum or m.attname not in ('tenant_id', 'current_tenant_id'))$$,
    'and of each foreign key to a table that has it'
);
select results_eq(
    $q$select tests.lines($$select c.relname
    from pg_class as c
    inner join pg_attribute as t on c.oid = t.attrelid and t.attname = 'tenant_id'
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p')
        and not c.relispartition
        and not exists (
            select from pg_constraint as k
            where k.conrelid = c.oid
                and k.contype = 'f'
                and k.conkey[1] = t.attnum
                and k.convalidated
        )$$)$q$,
    array['ai_usage_logs', 'audit_logs', 'audit_seals'],
    'every tenant_id refers to something; the logs alone outlive what they tell of'
);
select is_empty(
    $$select k.conrelid::regclass, k.conname
    from pg_constraint as k
    inner join pg_class as c on k.conrelid = c.oid
    where c.relnamespace = 'limena'::regnamespace
        and not c.relispartition
        and k.contype in ('p', 'u', 'f', 'c')
        and k.conname !~ ('^' || c.relname || '_([a-z_]+_)?(pkey|key|fkey|check)$')$$,
    'constraints are named after table and column: the API tells fields by them'
);
select is_empty(
    $$select k.conrelid::regclass, k.conname
    from pg_constraint as k
    where k.connamespace = 'limena'::regnamespace and (not k.convalidated or k.condeferrable)$$,
    'each is checked, and at once'
);

-- The log: each table has the four triggers, or its line here.
select results_eq(
    $q$select tests.lines($$select t.relation || ' ' || t.trigger
    from (
        select
            c.relname::text as relation,
            concat_ws(
                ' ', g.tgname,
                case g.tgtype
                    when 4 then 'after insert' when 8 then 'after delete' when 16 then 'after update'
                    when 32 then 'after truncate' when 5 then 'after insert, each row'
                end,
                g.tgoldtable, g.tgnewtable, g.tgfoid::regproc, g.tgenabled
            ) as trigger
        from pg_class as c
        inner join pg_trigger as g on c.oid = g.tgrelid and not g.tgisinternal
        where c.relnamespace = 'limena'::regnamespace
            and g.tgqual is null
            and cardinality(g.tgattr::smallint[]) = 0
    ) as t$$)$q$,
    $q$select tests.lines($$select c.relname || ' ' || t.trigger
    from pg_class as c
    cross join (
        values
        ('audit_delete after delete old_rows limena_private.record_changes O'),
        ('audit_insert after insert new_rows limena_private.record_changes O'),
        ('audit_truncate after truncate limena_private.record_changes O'),
        ('audit_update after update old_rows new_rows limena_private.record_changes O')
    ) as t (trigger)
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p')
        and not c.relispartition
        -- The logs themselves, what is written at each use, and counters.
        and c.relname not in (
            'audit_logs', 'audit_seals', 'session_uses', 'api_key_uses', 'api_key_rates', 'log_in_failures', 'ai_quotas', 'ai_quota_months',
            'ai_reservations', 'ai_usage_logs', 'ai_usage_days'
        )
    union all
    select 'api_keys admit_api_key after insert, each row limena_private.admit_api_key O'$$)$q$,
    'every table has the four statement-level triggers and no other, but for the list of exceptions'
);
select is_empty(
    $$select g.tgrelid::regclass, g.tgname
    from pg_trigger as g
    inner join pg_class as c on g.tgrelid = c.oid
    where c.relnamespace = 'limena'::regnamespace and g.tgenabled <> 'O'$$,
    'no trigger is off, those of foreign keys neither'
);

-- What is granted, seen at once; column by column it stands in the test of each table.
select results_eq(
    $q$select tests.lines($$select format('%s.%s %s', n.nspname, c.relname, p.line)
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    cross join lateral tests.privileges_of(c.oid) as p (line)
    where n.nspname in ('limena', 'limena_private')
        and c.relkind not in ('i', 'I')
        and p.line not like '%: select (%)'$$)$q$,
    array[
        'limena.ai_limits limena_app: select on the table',
        'limena.ai_limits limena_readonly: select on the table',
        'limena.ai_quota_states limena_app: select on the table',
        'limena.ai_quota_states limena_readonly: select on the table',
        'limena.ai_usage_export limena_app: select on the table',
        'limena.ai_usage_export limena_readonly: select on the table',
        'limena.api_keys limena_app: insert (tenant_id, id, name, prefix, last_four, scopes, key_hash,'
        ' created_by, expires_at, calls_per_minute)',
        'limena.audit_actions limena_app: select on the table',
        'limena.audit_actions limena_auth: select on the table',
        'limena.audit_actions limena_maintenance: select on the table',
        'limena.audit_actions limena_readonly: select on the table',
        'limena.audit_export limena_app: select on the table',
        'limena.audit_export limena_readonly: select on the table',
        'limena.function_report limena_maintenance: select on the table',
        'limena.function_report limena_readonly: select on the table',
        'limena.invitations limena_app: insert (tenant_id, id, email, role, token_hash, invited_by)',
        'limena.invitations limena_app: update (withdrawn_at)',
        'limena.isolation_report limena_maintenance: select on the table',
        'limena.isolation_report limena_readonly: select on the table',
        'limena.permission_matrix limena_app: select on the table',
        'limena.permission_matrix limena_auth: select on the table',
        'limena.permission_matrix limena_maintenance: select on the table',
        'limena.permission_matrix limena_readonly: select on the table'
    ],
    'nothing is granted on a whole table but DELETE, which knows no columns; these may be written, and nothing else'
);
select is_empty(
    $$select c.oid::regclass, a.attname, r.rolname
    from pg_class as c
    inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
    cross join pg_roles as r
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and c.relkind in ('r', 'p', 'v', 'm', 'f')
        and (
            a.atttypid = 'bytea'::regtype
            or a.atttypid not in ('integer'::regtype, 'bigint'::regtype) and a.attname ~ '(hash|secret|password|token)'
        )
        and not r.rolsuper
        and r.rolname !~ '^pg_'
        and r.rolname <> 'limena_owner'
        and has_column_privilege(r.oid, c.oid, a.attnum, 'select, update, references')$$,
    'nobody reads, alters or refers to a hash or a secret'
);
select is_empty(
    $$select c.oid::regclass::text, x.privilege_type
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as x
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and x.is_grantable
        and x.grantee <> c.relowner
    union all
    select p.oid::regprocedure::text, x.privilege_type
    from pg_proc as p
    cross join lateral aclexplode(p.proacl) as x
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and x.is_grantable
        and x.grantee <> p.proowner$$,
    'nobody passes a right on'
);

-- Statistics tell of values what row-level security hides. Whoever adds a column decides here whether it may have them.
select results_eq(
    $q$select tests.lines($$select c.relname || ': ' || string_agg(a.attname, ', ' order by a.attnum)
    from pg_class as c
    inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'limena'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        and a.attstattarget is distinct from 0
    group by c.relname$$)$q$,
    array[
        'ai_quota_months: tenant_id, month, used_tokens, reserved_tokens',
        'ai_quotas: tenant_id, as_of, calls, recent_calls, used_tokens, reserved_tokens, written_off_tokens,'
        ' expires_at, warned_percent, trip_cause, tripped_at, trip_ends_at',
        'ai_reservations: tenant_id, id, actor_type, estimated_tokens, state, created_at, expires_at, closed_at',
        'ai_settings: tenant_id, is_enabled, is_allowed, max_calls_per_hour, max_tokens_per_month,'
        ' calls_per_hour, tokens_per_month',
        'ai_usage_days: tenant_id, day, actor_type, outcome, calls, prompt_tokens, completion_tokens, latency_ms',
        'ai_usage_logs: tenant_id, occurred_at, actor_type, outcome, prompt_tokens, completion_tokens, latency_ms,'
        ' recorded_at',
        'api_key_rates: tenant_id, api_key_id, second, calls',
        'api_key_uses: tenant_id, api_key_id, last_used_at',
        'api_keys: tenant_id, id, scopes, created_by, created_at, expires_at, revoked_at, calls_per_minute,'
        ' retires_at, replaced_by, held_since',
        'audit_logs: tenant_id, occurred_at, seq, id, action, actor_type, entity_type',
        'audit_seals: tenant_id, number, from_seq, to_seq, row_count, first_at, last_at, sealed_at, removed_at',
        'integration_credentials: tenant_id, integration_id, field, key_version, expires_at, created_at',
        'integration_flows: tenant_id, id, provider, session_id, user_id, key_version, created_at, expires_at',
        'integrations: tenant_id, id, provider, created_at, changed_by, connected_at, disconnected_at, failed_at,'
        ' revocation, refresh_leased_until',
        'invitations: tenant_id, id, role, invited_by, created_at, expires_at, accepted_at, withdrawn_at',
        'log_in_failures: failures, last_failed_at, blocked_until',
        'memberships: tenant_id, user_id, role, created_at',
        'operator_access: tenant_id, id, covers_all, user_id, opened_by_xid, opened_at, expires_at, closed_at,'
        ' session_id',
        'outbox: tenant_id, id, template, created_at, attempts, due_at, delivered_at, abandoned_at, expires_at',
        'password_resets: id, user_id, created_at, expires_at, used_at',
        'permissions: name, description, works_when_frozen',
        'refresh_tokens: id, session_id, user_id, issued_at, expires_at, spent_at',
        'registrations: id, created_at, expires_at, used_at',
        'role_permissions: role, permission',
        'session_uses: session_id, user_id, last_seen_at',
        'sessions: id, user_id, current_tenant_id, created_at, expires_at, ended_at',
        'tenants: id, state, created_at, audit_retention_days, deletion_due_at, api_keys_revoked_at',
        'users: id, is_platform_admin, created_at, password_changed_at'
    ],
    'columns with personal data, hashes and free text have none'
);
select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
analyze limena.users, limena.tenants, limena.api_keys, limena.sessions, limena.audit_logs;
select is_empty(
    $$select s.tablename, s.attname
    from pg_stats as s
    where s.schemaname = 'limena'
        and s.attname in (
            'email',
            'display_name',
            'password_hash',
            'name',
            'prefix',
            'last_four',
            'key_hash',
            'token_hash',
            'secret_hash',
            'ip',
            'user_agent',
            'tenant_name',
            'recipient',
            'parameters',
            'subject',
            'actor_id', 'actor_label', 'entity_id', 'changes', 'details', 'request_id'
        )
        and s.tablename <> 'permissions'$$,
    'nor do they get any from ANALYZE, partitions neither'
);
select isnt_empty(
    $$select s.attname from pg_stats as s
    where s.schemaname = 'limena' and s.tablename = 'users' and s.attname = 'created_at'$$,
    '(the others do)'
);
select is_empty(
    $$select e.stxname from pg_statistic_ext as e
    where e.stxnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)$$,
    'nor extended ones'
);

-- \d+ tells what each is for.
select is_empty(
    $$select c.oid::regclass
    from pg_class as c
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and c.relkind in ('r', 'p', 'v')
        and not c.relispartition
        and obj_description(c.oid, 'pg_class') is null$$,
    'each table and view has a comment'
);
select results_eq(
    $q$select tests.lines('select e.extname from pg_extension as e')$q$, array['plpgsql'], 'no extension is needed'
);

select * from finish();
rollback;
