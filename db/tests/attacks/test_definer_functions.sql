-- Attack: hostile arguments to what runs with the owner's rights, and a way to call what is not meant to be called.
-- It would work with EXECUTE for PUBLIC (the default of PostgreSQL), with USAGE on limena_private, or with a definer
-- function that takes a tenant or a relation from its caller.
begin;
select plan(95);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
select tests.make_integration(p_tenant => 'a');
select tests.make_integration(p_tenant => 'b');
insert into limena.integration_flows (
    tenant_id, id, provider, session_id, user_id, state_hash, key_version, ciphertext
)
values (
    tests.tenant_id('b'), gen_random_uuid(), 'oidc', tests.id('session', 'b owner'), tests.user_id('b', 'owner'),
    sha256('state of b'), 1, sha256('verifier of b')
);
set local session authorization limena_app;

-- 1. What limena_app can call with the owner's rights: exactly this.
select is(
    array(
        select p.proname::text as name
        from pg_proc as p
        where
            p.prosecdef
            and p.pronamespace::regnamespace::text like 'limena%'
            and has_function_privilege(p.oid, 'execute')
        order by name
    ),
    (
        select array_agg(f.name order by f.name)
        from unnest(array[
            'announcements', 'export_audit_logs', 'exported_tenant_id', 'get_audit_verification',
            'change_member_role',
            'count_api_key_call',
            'current_context',
            'current_permissions',
            'current_session_id',
            'current_session_user_id',
            'current_tenant_id',
            'current_user_id',
            'set_audit_retention',
            'delete_tenant',
            'deployed_digest',
            'enter_api_key',
            'begin_integration_flow', 'connect_integration', 'disconnect_integration',
            'prepare_integration', 'read_integrations', 'record_integration_failure',
            'record_revocation', 'take_integration_flow', 'use_integration',
            'enter_session',
            'find_people',
            'has_permission',
            'holds',
            'is_platform_admin',
            'is_withheld',
            'list_tenants',
            'mail_invitation',
            'record_denial',
            'remove_member',
            'restore_tenant',
            'retire_api_key', 'revoke_api_key', 'revoke_all_api_keys', 'end_session', 'log_out', 'log_out_all',
            'update_tenant',
            'switch_tenant',
            'tenant_even_frozen',
            'tenant_with',
            'transfer_ownership',
            'export_ai_usage', 'release_ai_call', 'reserve_ai_call', 'reset_ai_quota', 'settle_ai_call',
            'update_ai_settings'
        ]) as f (name)
    ),
    'limena_app can call these functions with the owner''s rights, and no other'
);
select is(has_schema_privilege('limena_private', 'usage'), false, 'limena_private is closed');
select is(
    array(
        select p.oid::regprocedure::text
        from pg_proc as p
        where p.pronamespace = 'limena_private'::regnamespace and has_function_privilege(p.oid, 'execute')
    ),
    '{}',
    'and none of its functions could be called if it were not'
);
select is(
    array(
        select c.relname::text
        from pg_class as c
        where
            c.relnamespace = 'limena_private'::regnamespace
            and c.relkind in ('r', 'v', 'p', 'm', 'S')
            and case
                when c.relkind = 'S' then has_sequence_privilege(c.oid, 'usage, select, update')
                else
                    has_table_privilege(c.oid, 'select, insert, update, delete, truncate, references, trigger')
                    or has_any_column_privilege(c.oid, 'select, insert, update, references')
            end
    ),
    '{}',
    'nor one of its relations be read'
);
select tests.enter_as('a', 'owner');
select is(tests.outcome(s.statement), '42501', s.statement)
from (
    values
    ('select limena_private.verified_context()'),
    ('select limena_private.seal(''\x00'', '''', '''')'),
    ('select limena_private.record_event(tests.tenant_id(''b''), ''x.x'')'),
    ('select limena_private.platform_tenant_id()'),
    ('select limena_private.audit_table(''limena.api_keys'', ''x'', ''{id}'', ''id'')'),
    ('select limena_private.record_changes()'),
    ('select secret from limena_private.seal_keys'),
    ('update limena_private.seal_keys set secret = sha256(''x'')'),
    ('delete from limena_private.audited_tables'),
    ('select limena.promote_user(''owner@a.example'')'),
    ('select limena.ensure_partitions(1)'),
    ('select limena.self_check()'),
    ('select limena.begin_log_in(''owner@b.example'')'),
    ('select limena.find_password(tests.session_hash(''b'', ''owner''))'),
    ('select limena.change_password(tests.session_hash(''b'', ''owner''), ''x'', ''x'')'),
    ('select limena.rehash_password(tests.user_id(''b'', ''owner''), ''x'', ''x'')'),
    ('select limena.refresh_session(sha256(''x''), sha256(''y''))'),
    ('select limena.request_password_reset(''owner@b.example'', gen_random_uuid(), sha256(''x''))'),
    ('select limena.find_password_reset(sha256(''x''))'),
    ('select limena.find_registration(sha256(''x''))'),
    ('select limena.take_back_log_in(''owner@b.example'')'),
    ('select limena.reset_password(sha256(''x''), ''x'')'),
    ('select limena.request_registration(''x'', ''x'', ''x'', ''x'', gen_random_uuid(), sha256(''x''))'),
    ('select limena.verify_registration(sha256(''x''))'),
    ('select limena.claim_mail()'),
    ('select limena.settle_mail(tests.tenant_id(''b''), gen_random_uuid(), true)'),
    ('select limena.prune()'),
    ('select limena.settle_refresh(tests.tenant_id(''a''), tests.integration_id(''a''), now())'),
    ('select limena.stale_credentials(1, 10)'),
    ('select limena.reseal_credentials(1, 2, ''{}'', ''{}'', ''{}'', ''{}'', ''{}'')'),
    ('select limena.credential_key_versions()'),
    ('select limena.record_master_key_rotation(2)'),
    ('select limena.recount_ai_quota(tests.tenant_id(''b''), ''because'')'),
    ('select limena_private.tenant_salt(tests.tenant_id(''b''))'),
    ('select limena_private.destroy_tenant_salt(tests.tenant_id(''b''))'),
    ('select salt from limena_private.tenant_salts'),
    ('select limena_private.seal_unauthenticated(null, null, null)'),
    ('select limena_private.record_user_event(tests.user_id(''b'', ''owner''), ''x.x'')'),
    ('select limena_private.log_in_subjects(''owner@b.example'', null, null)'),
    ('select limena.log_in(tests.user_id(''b'', ''owner''), ''x'', sha256(''x''), sha256(''x''))'),
    ('select limena.register_user(''x@x.example'', ''x'', ''x'', ''x'')'),
    ('select limena.accept_invitation(sha256(''x''))'),
    ('select limena.record_failed_log_in(''owner@b.example'')'),
    ('select from limena.isolation_report')
) as s (statement);

-- 2. Hostile hashes: nothing enters but what is there.
select is(tests.outcome(format('select limena.enter_api_key(%s)', h.value)), '28000', 'enter_api_key: ' || h.name)
from (
    values
    ('null', 'null'),
    ('empty', '''\x'''),
    ('zeros', '''\x' || repeat('00', 32) || ''''),
    ('a megabyte', 'convert_to(repeat(''x'', 1000000), ''UTF8'')'),
    ('the hash of another tenant''s session', format('%L', tests.session_hash('b', 'owner'))),
    ('b''s hash, shortened', format('%L', substring(tests.key_hash('b') for 31)))
) as h (name, value);
select
    is(
        tests.outcome(format('select limena.enter_session(%L, %L)', tests.session_hash('a', 'owner'), t.id)), '28000',
        'enter_session: one''s own session in ' || t.name
    )
from (
    values
    ('another tenant', tests.tenant_id('b')), ('the platform''s tenant', '00000000-0000-4000-8000-000000000000'::uuid),
    ('no tenant there is', tests.id('none', ''))
) as t (name, id);
select is(
    tests.outcome(
        format(
            'select limena.enter_session(%L, %L, repeat(%L, 1000000), %L, repeat(%L, 1000000))',
            tests.session_hash('a', 'owner'), tests.tenant_id('a'), 'x', '::1', '"}'
        )
    ), '1', 'what a client says of itself may be long and look like JSON'
);

-- 3. record_denial: into one's own log, bounded, and of what exists.
select tests.enter_as('a', 'viewer');
select isnt(tests.outcome(s.statement), '1', s.name)
from (
    values
    ('a permission that does not exist', $$select limena.record_denial('x:y', 'GET /x')$$),
    ('no permission', $$select limena.record_denial(null, 'GET /x')$$),
    ('a permission as a pattern', $$select limena.record_denial('%', 'GET /x')$$)
) as s (name, statement);
select tests.outcome($$select limena.record_denial('audit:read', 'GET /' || repeat('x', 100000))$$);
select limena.record_denial('audit:read', 'GET /x');
select tests.leave();
select
    is(
        tests.outcome($$select limena.record_denial('audit:read', 'GET /x')$$),
        '42501',
        'nobody records without a context'
    );
select set_config('app.current_tenant_id', tests.tenant_id('b')::text, true);
select is(tests.outcome($$select limena.record_denial('audit:read', 'GET /x')$$), '42501', 'nor in a forged one');
set local session authorization postgres;
select is_empty(
    $$select from limena.audit_logs where action = 'access.denied' and tenant_id <> tests.tenant_id('a')$$,
    'and no other tenant''s log has an entry'
);
select is(
    (
        select max(octet_length(l.details::text)) < 1000 from limena.audit_logs as l
        where l.action = 'access.denied'
    ),
    true,
    'of what was recorded, none is long'
);

-- 3b. Integrations: one's own tenant's ciphertexts and salt, and nothing of another's.
set local session authorization limena_app;
select tests.enter_as('a', 'owner');
select is(
    limena.read_integrations(p_permission => 'integrations:use')::text
    ~ encode(tests.ciphertext('a anthropic secret'), 'hex'),
    true,
    'with SQL as limena_app one gets one''s own tenant''s ciphertext'
);
select is(
    (
        limena.read_integrations(p_permission => 'integrations:use')::text
        || limena.read_integrations(p_permission => 'integrations:read', p_provider => 'anthropic')::text
        || limena.use_integration('anthropic')::text
        || limena.prepare_integration('anthropic')::text
    ) ~ any(
        array[
            tests.tenant_id('b')::text,
            tests.integration_id('b')::text,
            encode(tests.ciphertext('b anthropic secret'), 'hex'),
            encode(sha256('salt b'), 'hex')
        ]
    ),
    false,
    'and none of another''s, whatever is called'
);
select is(
    limena.take_integration_flow('oidc', sha256('state of b')), null, 'another tenant''s flow is not there to be taken'
);
select is(left(tests.error_of(s.statement), 5), s.expected, s.statement)
from (
    values
    ('select limena.read_integrations(null)', '22023'),
    ('select limena.read_integrations(''tenant:own'')', '22023'),
    ('select limena.record_integration_failure(repeat(''x'', 100000), ''denied'')', '22023'),
    ('select limena.record_integration_failure(''anthropic'', repeat(''x'', 100000))', '22023'),
    ('select limena.begin_integration_flow(''x'', null, null, null, null)', '23502'),
    ('select limena.begin_integration_flow(''../x'', gen_random_uuid(), sha256(''x''), 1, sha256(''x''))', '23514'),
    ('select limena.begin_integration_flow(''x'', gen_random_uuid(), ''\x00'', 1, sha256(''x''))', '23514'),
    ('select limena.connect_integration(''../x'', gen_random_uuid(), 1, p_secret => sha256(''x''))', '22023'),
    ('select limena.connect_integration(''x'', gen_random_uuid(), 0, p_secret => sha256(''x''))', '22023'),
    ('select limena.connect_integration(''x'', gen_random_uuid(), 1)', '22023'),
    ('select limena.connect_integration(''x'', null, 1, p_secret => sha256(''x''))', '23502'),
    (
        'select limena.connect_integration(''anthropic'', tests.integration_id(''b''), 1, p_secret => sha256(''x''))',
        '23505'
    ),
    ('select limena.record_revocation(tests.integration_id(''b''), now(), ''done'')', 'P0002')
) as s (statement, expected);
select tests.leave();
set local session authorization postgres;
select results_eq(
    $$select f.tenant_id from limena.integration_flows as f$$,
    $$select tests.tenant_id('b')$$,
    'and b''s is still there'
);

-- 4. The trigger function writes the log of registered tables alone, even for someone who can make a trigger.
select tests.leave();
create table tests.mallory (tenant_id uuid, id uuid);
create trigger mallory after insert on tests.mallory referencing new table as new_rows
for each statement execute function limena_private.record_changes();
select is(
    tests.outcome('insert into tests.mallory values (tests.tenant_id(''b''), gen_random_uuid())'), '55000',
    'a table that is not registered is refused'
);
create trigger mallory after insert on limena.session_uses for each row execute function limena_private.record_changes();  -- noqa: LT05
select isnt(
    tests.outcome('insert into limena.session_uses (session_id) values (tests.id(''session'', ''b owner''))'), '1',
    'so is a trigger on a table of the product that has none'
);

-- 5. Procedures of the product with hostile values: an error that says which.
set local session authorization limena_app;
select tests.enter_as('a', 'owner');
select
    is(
        left(tests.error_of(s.statement), 5) in ('22023', '23514', 'P0002', '22P02', '22P05', '22008'),
        true,
        s.statement
    )
from (
    values
    ('select limena.create_api_key(null, null, null, null, null)'),
    ('select limena.create_api_key(repeat(''x'', 1000000), ''{ai:use}'', ''lmn_abcdef'', ''0000'', sha256(''x''))'),
    ('select limena.create_api_key(''x'', ''{"*"}'', ''lmn_abcdef'', ''0000'', sha256(''x''))'),
    ('select limena.create_api_key(''x'', ''{ai:use,ai:use}'', ''lmn_abcdef'', ''0000'', sha256(''x''))'),
    ('select limena.create_api_key(''x'', ''{ai:use}'', ''lmn_abcdef'', ''0000'', ''\x00'')'),
    ('select limena.list_api_keys(2147483647)'),
    ('select limena.list_api_keys(50, ''0_'' || repeat(''('', 1000))'),
    ('select limena.list_audit_logs(50, ''9999999999999999_9999999999999999999'')'),
    ('select limena.revoke_api_key(null)'),
    ('select limena.create_invitation(''x@x.example'', ''superuser'', sha256(''x''))')
) as s (statement);

select is(tests.loot('a'), '', 'nothing of b was seen');

select * from finish();
rollback;
