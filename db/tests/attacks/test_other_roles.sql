-- Attack: arbitrary SQL as limena_auth, limena_readonly or limena_maintenance: see or change more than the procedures
-- that each is for.
-- It would work with a grant too many, or if the context that limena_auth's procedures set opened a tenant.
-- Known limits: limena_auth is trusted with who people are. It reads the password hash of an address that it knows
-- (begin_log_in) and could open a session for it (log_in); with limena_app besides, that is an entry. It may write
-- failed log-ins into the log. So each has its own pool, which runs nothing but fixed calls.
begin;
select plan(85);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');

-- Exactly these functions, of any kind.
select
    is(
        array(
            select p.proname::text as name
            from pg_proc as p
            where p.pronamespace::regnamespace::text like 'limena%' and has_function_privilege(r.name, p.oid, 'execute')
            order by name
        ),
        r.functions,
        r.name || ' may call exactly these functions'
    )
from (
    values
    (
        'limena_auth',
        array[
            'accept_invitation',
            'administer_tenant',
            'begin_log_in',
            'change_password',
            'find_invitation',
            'find_password',
            'find_password_reset',
            'find_registration',
            'log_in',
            'record_failed_log_in',
            'refresh_session',
            'register_user',
            'rehash_password',
            'request_password_reset',
            'request_registration',
            'reset_password',
            'settle_refresh',
            'take_back_log_in',
            'verify_registration'
        ]
    ),
    (
        'limena_readonly',
        array[
            'ai_calls_at',
            'ai_clock',
            'announcements',
            'close_access',
            'covered_from',
            'covered_people',
            'covered_tenant_id',
            'covered_to',
            'covers_all',
            'csv_text',
            'exported_tenant_id',
            'list_tenant_usage',
            'open_access',
            'open_access_as',
            'page_limit',
            'resume_access'
        ]
    ),
    (
        'limena_maintenance',
        array[
            'apply_retention',
            'check_ai_quotas',
            'check_audit_log',
            'claim_mail',
            'credential_key_versions',
            'deployed_digest',
            'drop_ai_usage',
            'due_ai_quotas',
            'ensure_partitions',
            'erase_tenants',
            'expire_reservations',
            'prune',
            'record_master_key_rotation',
            'recount_ai_quota',
            'reseal_credentials',
            'seal_audit_log',
            'sealed_tenants',
            'self_check',
            'settle_mail',
            'stale_credentials',
            'verify_audit_log',
            'verify_audit_segments'
        ]
    )
) as r (name, functions);
select is(
    array(
        select m.rolname::text || ' in ' || g.rolname::text
        from pg_auth_members as a
        inner join pg_roles as m on a.member = m.oid
        inner join pg_roles as g on a.roleid = g.oid
        where m.rolname like 'limena\_%'
    ),
    '{}',
    'none is a member of another role'
);

-- limena_auth.
set local session authorization limena_auth;
select is(tests.outcome(s.statement), s.expected, s.statement)
from (
    values
    ('select limena.enter_session(sha256(''x''), null)', '42501'),
    ('select limena.current_context()', '42501'),
    ('select limena.get_me()', '42501'),
    ('select limena.list_members()', '42501'),
    ('select limena.find_people(''{}'')', '42501'),
    ('select from limena.users', '42501'),
    ('select from limena.sessions', '42501'),
    ('select from limena.audit_logs', '42501'),
    ('select from limena_private.seal_keys', '42501'),
    ('set role limena_owner', '42501'),
    ('set role limena_app', '42501'),
    ('create temp table x (x int)', '42501'),
    ('create table limena.x (x int)', '42501'),
    (
        'select from limena.begin_log_in(''nobody@b.example'') where user_id is not null or password_hash is not null',
        '0'
    ),
    ('select from limena.begin_log_in(null) where user_id is not null or password_hash is not null', '0'),
    ('select from limena.begin_log_in(''%@b.example'') where user_id is not null or password_hash is not null', '0'),
    ('select from limena.find_password(sha256(''x''))', '0'),
    ('select from limena.find_password(null)', '0'),
    ('select from limena.find_password(convert_to(''$2b$04$'' || repeat(''.'', 53), ''UTF8''))', '0'),
    (
        'select limena.change_password(null, ''$2b$04$'' || repeat(''.'', 53), ''$2b$04$'' || repeat(''/'', 53))',
        '28000'
    ),
    (
        'select limena.change_password(tests.session_hash(''b'', ''owner''), null, ''$2b$04$'' || repeat(''/'', 53))',
        '28000'
    ),
    ('select from limena.find_password_reset(null)', '0'),
    ('select from limena.find_registration(null)', '0'),
    ('select limena.take_back_log_in(null)', '1'),
    ('select limena.reset_password(null, ''$2b$04$'' || repeat(''/'', 53))', 'P0002'),
    ('select limena.refresh_session(null, null)', '28000'),
    ('select limena.refresh_session(tests.session_hash(''b'', ''owner''), sha256(''y''))', '28000'),
    ('select limena.verify_registration(null)', 'P0002'),
    (
        'select limena.request_registration(''owner@b.example'', ''a plain password'', ''x'', ''x'', gen_random_uuid(), sha256(''x''))',  -- noqa: LT05
        '23514'
    ),
    ('select limena.log_out_all()', '42501'),
    ('select limena.end_session(tests.id(''session'', ''b owner''))', '42501'),
    ('select limena.read_integrations(''integrations:use'')', '42501'),
    ('select limena.stale_credentials(1, 10)', '42501'),
    ('select limena.claim_mail()', '42501'),
    ('select limena.prune()', '42501'),
    ('select limena.log_in(tests.user_id(''b'', ''owner''), null, sha256(''x''), sha256(''y''))', '28000'),
    ('select limena.log_in(tests.user_id(''b'', ''owner''), ''x'', sha256(''x''), sha256(''y''))', '28000'),
    ('select limena.log_in(null, null, sha256(''x''), sha256(''y''))', '28000'),
    (
        'select limena.log_in(tests.user_id(''b'', ''owner''), ''$2b$04$'' || repeat(''.'', 53), sha256(''x''), sha256(''y''), '  -- noqa: LT05
        'tests.tenant_id(''a''))', 'P0002'
    ),
    ('select limena.accept_invitation(sha256(''x''), ''$2b$04$'' || repeat(''.'', 53), ''x'')', 'P0002'),
    ('select limena.accept_invitation(null)', 'P0002'),
    ('select limena.register_user(''owner@b.example'', ''$2b$04$'' || repeat(''.'', 53), ''x'')', '23505'),
    ('select limena.register_user(''OWNER@B.example '', ''$2b$04$'' || repeat(''.'', 53), ''x'', ''x'')', '23505'),
    ('select limena.register_user(''x@x.example'', ''a plain password'', ''x'')', '23514'),
    ('select limena.promote_user(''owner@b.example'')', '42501')
) as s (statement, expected);
select is(
    tests.error_of($$select limena.register_user('owner@b.example', '$2b$04$' || repeat('.', 53), 'x')$$),
    '23505 duplicate key value violates unique constraint "users_email_key"; constraint users_email_key',
    'a known address is refused without a word about whose it is'
);
-- What its procedures leave in the transaction opens nothing to it.
select limena.record_failed_log_in('owner@b.example');
select is(tests.loot(), '', 'after a procedure limena_auth sees as little as before');
select is(tests.harm(), '', 'and changes as little');
-- A password's hash that comes with an address is of no use as a session's.
set local session authorization limena_app;
select is(
    tests.outcome(
        'select limena.enter_session(convert_to(''$2b$04$'' || repeat(''.'', 53), ''UTF8''), tests.tenant_id(''b''))'
    ),
    '28000',
    'a password''s hash enters nowhere'
);
select tests.leave();

-- limena_readonly: what it may read is empty until access is declared, to EXPLAIN too.
set local session authorization limena_readonly;
select is(
    array(
        select c.relname::text
        from pg_class as c
        where
            c.relnamespace = 'limena'::regnamespace
            and c.relkind in ('r', 'p')
            and c.relname not in ('permissions', 'role_permissions')
            and has_any_column_privilege(c.oid, 'select')
            and tests.outcome(format('select from limena.%I', c.relname)) <> '0'
    ),
    '{}',
    'limena_readonly: every table that it may read is empty'
);
select is(
    replace(
        tests.explained($$select 1 from limena.users where email = 'owner@b.example'$$),
        'owner@b.example',
        'xxxxx@b.example'
    ),
    tests.explained($$select 1 from limena.users where email = 'xxxxx@b.example'$$),
    'EXPLAIN ANALYZE does not tell who is there'
);
select is(tests.outcome(s.statement), '42501', s.statement)
from (
    values
    ('select password_hash from limena.users'),
    ('select secret_hash from limena.sessions'),
    ('select token_hash from limena.refresh_tokens'),
    ('select token_hash from limena.password_resets'),
    ('select token_hash from limena.registrations'),
    ('select password_hash from limena.registrations'),
    ('select recipient from limena.outbox'),
    ('select parameters from limena.outbox'),
    ('select from limena.log_in_failures'),
    ('select token_hash from limena.invitations'),
    ('select key_hash from limena.api_keys'),
    ('select from limena_private.seal_keys'),
    ('update limena.users set is_platform_admin = true'),
    ('select from limena.users for share'),
    ('set role limena_owner'),
    ('create temp table x (x int)')
) as s (statement);

-- limena_maintenance.
set local session authorization limena_maintenance;
select is(tests.outcome(s.statement), s.expected, s.statement)
from (
    values
    ('select from limena.tenants', '42501'),
    ('select from limena.audit_logs', '42501'),
    ('delete from limena.audit_logs', '42501'),
    ('drop table limena.audit_logs', '42501'),
    ('select limena.ensure_partitions(-1)', '22023'),
    ('select limena.ensure_partitions(121)', '22023'),
    ('select limena.ensure_partitions(null)', '22023'),
    ('select from limena_private.seal_keys', '42501'),
    ('select from limena.outbox', '42501'),
    ('select limena.claim_mail(0)', '22023'),
    ('select limena.claim_mail(201)', '22023'),
    ('select limena.claim_mail(null)', '22023'),
    ('select limena.begin_log_in(''owner@b.example'')', '42501'),
    ('set role limena_owner', '42501')
) as s (statement, expected);

select * from finish();
rollback;
