-- limena.isolation_report: what it says of Limena's own relations, and of what somebody puts beside them. Fails without
-- the view, and where a verdict does not look at what it speaks of.
begin;
select plan(12);

-- Limena's own.
select results_eq(
    $$select jsonb_build_array(r.relation_name, r.kind, r.has_tenant_id, r.policies, r.audit_triggers, r.verdict)
    from limena.isolation_report as r
    where r.schema_name = 'limena' and r.kind <> 'partition'
    order by r.relation_name collate "C"$$,
    $$select jsonb_build_array(
        e.name, e.kind, e.has_tenant_id, array(select e.name || '_' || p.suffix from unnest(e.policies) as p (suffix)),
        case when e.is_audited then '{audit_delete, audit_insert, audit_truncate, audit_update}'::text[] else '{}' end,
        'ok'
    )
    from (
        values
        ('ai_limits', 'view', true, '{}'::text[], false),
        (
            'ai_quota_months', 'table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', false
        ),
        ('ai_quota_states', 'view', true, '{}', false),
        (
            'ai_quotas', 'table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', false
        ),
        (
            'ai_reservations', 'table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', false
        ),
        (
            'ai_settings', 'table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', true
        ),
        (
            'ai_usage_days', 'table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', false
        ),
        ('ai_usage_export', 'view', true, '{}', false),
        (
            'ai_usage_logs', 'partitioned table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', false
        ),
        (
            'api_key_rates', 'table', true, '{delete_owner, insert_owner, select_owner, update_owner}', false
        ),
        (
            'api_key_uses', 'table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', false
        ),
        (
            'api_keys', 'table', true,
            '{delete_owner, insert_app, select_app, select_owner, select_readonly, update_owner}', true
        ),
        (
            'audit_logs', 'partitioned table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly}', false
        ),
        (
            'audit_seals', 'table', true,
            '{insert_owner, select_app, select_owner, select_readonly, update_owner}', false
        ),
        (
            'integration_credentials', 'table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', true
        ),
        (
            'integration_flows', 'table', true, '{delete_owner, insert_owner, select_owner, update_owner}', true
        ),
        (
            'integrations', 'table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', true
        ),
        (
            'invitations', 'table', true,
            '{delete_owner, insert_app, select_app, select_owner, select_readonly, update_app, update_owner}', true
        ),
        ('log_in_failures', 'table', false, '{delete_owner, insert_owner, select_owner, update_owner}', false),
        (
            'memberships', 'table', true,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', true
        ),
        ('operator_access', 'table', true, '{insert_owner, select_owner, select_readonly, update_owner}', true),
        ('outbox', 'table', true, '{delete_owner, insert_owner, select_owner, select_readonly, update_owner}', true),
        ('password_resets', 'table', false, '{delete_owner, insert_owner, select_owner, select_readonly, update_owner}', true),
        ('refresh_tokens', 'table', false, '{insert_owner, select_owner, select_readonly, update_owner}', true),
        ('registrations', 'table', false, '{delete_owner, insert_owner, select_owner, select_readonly, update_owner}', true),
        ('session_uses', 'table', false, '{insert_owner, select_app, select_owner, select_readonly, update_owner}', false),
        (
            'sessions', 'table', false,
            '{delete_owner, insert_owner, select_app, select_owner, select_readonly, update_owner}', true
        ),
        ('tenants', 'table', false, '{insert_owner, select_app, select_owner, select_readonly, update_owner}', true),
        ('users', 'table', false, '{insert_owner, select_owner, select_readonly, update_owner}', true)
    ) as e (name, kind, has_tenant_id, policies, is_audited)$$,
    'each table, with its policies and audit triggers'
);
select results_eq(
    $$select distinct to_jsonb(r) - '{schema_name, relation_name}'::text[]
    from limena.isolation_report as r
    where r.relation_name like 'audit\_logs\_%'$$,
    array[
        '{
            "kind": "partition", "has_tenant_id": true, "is_row_security_enabled": true, "is_row_security_forced": true,
            "policies": [], "audit_triggers": [], "grants": [], "verdict": "ok"
        }'::jsonb
    ],
    'each partition of the log: closed'
);
select results_eq(
    $$select to_jsonb(r.grants) from limena.isolation_report as r where r.relation_name = 'api_keys'$$,
    array['["limena_app: insert", "limena_app: select", "limena_readonly: select"]'::jsonb],
    'what is granted, column by column or not'
);
select is_empty(
    $$select r.relation_name from limena.isolation_report as r where r.schema_name = 'limena_private'$$,
    'nothing of limena_private'
);

-- What somebody puts beside them, in whatever schema.
create schema product;
create table product.bare (tenant_id uuid, id integer);
create table product.enabled (tenant_id uuid, id integer);
alter table product.enabled enable row level security;
create table product.forced (tenant_id uuid, id integer);
alter table product.forced enable row level security, force row level security;
create policy mine on product.forced using (false);
create table product.open (tenant_id uuid, id integer);
alter table product.open enable row level security, force row level security;
grant select on product.open to public;
create table product.ajar (tenant_id uuid, id integer);
alter table product.ajar enable row level security, force row level security;
grant select (id) on product.ajar to public;
create table product.other (id integer);
create table product.parted (tenant_id uuid, id integer) partition by list (id);
create table product.part partition of product.parted for values in (1);
alter table product.parted enable row level security, force row level security;
create view product.seen as select * from product.forced;
create view product.invoked with (security_invoker = true) as select * from product.forced;
create materialized view product.kept as select * from product.forced;
create table product.dropped (tenant_id uuid, id integer);
alter table product.dropped drop column tenant_id;
select results_eq(
    $$select jsonb_build_array(r.relation_name, r.kind, r.policies, r.verdict)
    from limena.isolation_report as r
    where r.schema_name = 'product'
    order by r.relation_name collate "C"$$,
    $$select jsonb_build_array(e.name, e.kind, e.policies, e.verdict)
    from (
        values
        ('ajar', 'table', '{}'::text[], 'unprotected: granted to PUBLIC'),
        ('bare', 'table', '{}', 'unprotected: no row-level security'),
        ('enabled', 'table', '{}', 'unprotected: row-level security does not bind the owner'),
        ('forced', 'table', '{mine}', 'ok'),
        ('invoked', 'view', '{}', 'ok'),
        ('kept', 'materialized view', '{}', 'unprotected: a view that does not run as its caller'),
        ('open', 'table', '{}', 'unprotected: granted to PUBLIC'),
        ('part', 'partition', '{}', 'unprotected: no row-level security'),
        ('parted', 'partitioned table', '{}', 'ok'),
        ('seen', 'view', '{}', 'unprotected: a view that does not run as its caller')
    ) as e (name, kind, policies, verdict)$$,
    'every relation with a tenant_id that is there, and why it is not protected'
);
create temporary table passing (tenant_id uuid);
select is_empty(
    $$select r.relation_name from limena.isolation_report as r where r.relation_name = 'passing'$$,
    'a temporary table is its session''s own'
);

-- What is broken in Limena's own shows too.
alter table limena.users no force row level security;
select is(
    (
        select r.verdict from limena.isolation_report as r
        where r.schema_name = 'limena' and r.relation_name = 'users'
    ),
    'unprotected: row-level security does not bind the owner', 'a table of Limena''s that is no longer forced'
);
alter table limena.users disable trigger audit_update;
select is(
    (
        select r.audit_triggers
        from limena.isolation_report as r
        where r.schema_name = 'limena' and r.relation_name = 'users'
    ),
    '{audit_delete, audit_insert, audit_truncate}', 'a trigger that is off is not there'
);

-- Who may look; it reads the catalogs alone, so that it says the same to all.
set local role limena_readonly;
select is(
    tests.outcome('select r.verdict from limena.isolation_report as r where r.schema_name = ''product'''),
    '10',
    'limena_readonly sees it'
);
set local role limena_maintenance;
select is(
    tests.outcome('select r.verdict from limena.isolation_report as r where r.schema_name = ''product'''),
    '10',
    'and limena_maintenance'
);
set local role limena_app;
select is(tests.outcome('select r.verdict from limena.isolation_report as r'), '42501', 'limena_app does not');
set local role limena_auth;
select is(tests.outcome('select r.verdict from limena.isolation_report as r'), '42501', 'nor limena_auth');

select * from finish();
rollback;
