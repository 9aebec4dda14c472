-- limena.export_audit_logs(), begin_audit_export(), exported_tenant_id() and the view audit_export: who exports which
-- log, filtered how, and that it is on record first. Fails without audit:export, without the tenant, or with a filter
-- that is not asked.
begin;
select plan(23);

-- As the API's connections have it: what begin_audit_export() rules out costs 1e10 up to PostgreSQL 17, and would be
-- compiled for a second each time.
set local jit = off;
select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'exporter', p_scopes => '{audit:export, audit:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{audit:read}');
update limena.tenants set name = '=1+1'
where id = tests.tenant_id('a');

create function tests.export(
    p_action text default null,
    p_actor_id uuid default null,
    p_entity_type text default null,
    p_entity_id text default null,
    p_from timestamptz default null,
    p_to timestamptz default null
)
returns text
language sql
as $$
select limena.begin_audit_export(p_action, p_actor_id, p_entity_type, p_entity_id, p_from, p_to);
select string_agg(distinct e.action, ' ' order by e.action) from limena.audit_export as e;
$$;
create function tests.recorded()
returns setof text
language sql
security definer
as $$
select concat_ws(' ', case when l.tenant_id <> tests.tenant_id('a') then l.tenant_id end, l.actor_label, l.details)
from limena.audit_logs as l
where l.action = 'audit_log.exported'
order by l.seq
$$;

-- Who.
set local session authorization limena_app;
select is(tests.outcomes(s.statement, '{nobody, viewer, member, admin, owner, reader, exporter}'), s.expected, s.name)
from (
    values
    (
        'select limena.export_audit_logs()',
        'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, reader 42501, exporter 1', 'audit:export exports'
    ),
    (
        'select limena.begin_audit_export()',
        'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, reader 42501, exporter 1', 'and sets the filters'
    ),
    (
        'select from limena.audit_export where action = ''tenant.created''',
        'nobody 0, viewer 0, member 0, admin 1, owner 1, reader 1, exporter 1',
        'its rows are those that audit:read sees: of one tenant'
    ),
    (
        'select from (select limena.exported_tenant_id() as id) as e where e.id is not null',
        'nobody 0, viewer 1, member 1, admin 1, owner 1, reader 1, exporter 1', 'which is the one that one is in'
    )
) as s (statement, expected, name);
set local session authorization limena_auth;
select is(tests.outcome('select limena.export_audit_logs()'), '42501', 'not limena_auth');
set local session authorization limena_maintenance;
select is(tests.outcome('select limena.export_audit_logs()'), '42501', 'nor limena_maintenance');

-- Filtered.
set local session authorization limena_app;
select tests.enter_as('a', 'owner');
select is(
    tests.export(), 'api_key.created membership.created session.created tenant.created tenant.updated', 'all of it'
);
select is(tests.export(p_action => 'tenant.created'), 'tenant.created', 'by action');
select is(tests.export(p_action => 'tenant.%'), null, 'which is no pattern');
select is(tests.export(p_action => ''' or true --'), null, 'and no SQL');
select is(tests.export(p_entity_type => 'membership'), 'membership.created', 'by what it is about');
select is(tests.export(p_entity_id => tests.tenant_id('a')::text), 'tenant.created tenant.updated', 'by which');
select is(tests.export(p_entity_id => tests.tenant_id('b')::text), null, 'another tenant''s is not there');
select is(tests.export(p_actor_id => tests.user_id('a', 'owner')), null, 'by who did it: nobody of a''s, so far');
select is(tests.export(p_from => now() + interval '1 hour'), null, 'from in an hour: nothing');
select is(tests.export(p_to => now() - interval '1 hour'), null, 'up to an hour ago: nothing');
select is(
    tests.export(p_action => 'tenant.created', p_from => '-infinity', p_to => 'infinity'), 'tenant.created', 'ever'
);
select tests.export(p_action => 'tenant.updated');
select is(
    (select e.changes from limena.audit_export as e), '{"name": ["Tenant a", "=1+1"]}',
    'JSON begins with a brace: it is no formula'
);

-- On record.
select is(
    limena.export_audit_logs(p_action => 'tenant.created', p_to => '2026-01-01') ->> 'tenant_id',
    tests.tenant_id('a')::text,
    'an export says whose it is'
);
select limena.export_audit_logs(p_action => repeat('x', 1000000));
select results_eq(
    $$select tests.recorded()$$,
    array[
        'owner@a.example {"format": "csv", "filters": {"to": "2026-01-01T00:00:00+00:00", "action": "tenant.created"}}',
        'owner@a.example {"format": "csv", "filters": {"action": "' || repeat('x', 200) || '"}}'
    ],
    'each is in the tenant''s log, and in no other, with as much of its filters as is sensible'
);

-- By operators.
select tests.leave();
set local session authorization limena_readonly;
select is(limena.exported_tenant_id(), null, 'an operator who declared nothing exports no tenant');
select is(tests.outcome('select from limena.audit_export'), '0', 'and no row');
select is(tests.outcome('select limena.export_audit_logs()'), '42501', 'what is the tenants'' to call is not theirs');

select * from finish();
rollback;
