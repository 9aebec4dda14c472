-- limena.list_ai_usage() and the export of AI usage: whose it is, by what, from when to when. Fails without the
-- tenant, without ai:read, or without the export's line in the log.
begin;
select plan(25);

-- As the API's connections have it, see db/tests/audit/test_export_audit_logs.sql.
set local jit = off;
select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'user', p_scopes => '{ai:use}');
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{ai:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'exporter', p_scopes => '{ai:read, audit:export}');
select tests.make_api_key(p_tenant => 'a', p_name => 'auditor', p_scopes => '{audit:export}');

create function tests.use(p_model text, p_tokens integer, p_outcome text default null)
returns void
language sql
as $$
select limena.settle_ai_call((limena.reserve_ai_call(p_model, p_tokens) ->> 'id')::uuid, p_tokens, 1, 10, p_outcome)
$$;
create function tests.usage(p_by text default null, p_from timestamptz default null, p_to timestamptz default null)
returns text
language sql
as $$
select string_agg(
    concat_ws(' ', i.item ->> 'key', i.item ->> 'calls', i.item ->> 'failed_calls', i.item ->> 'prompt_tokens'), ', '
)
from json_array_elements(limena.list_ai_usage(p_by, p_from, p_to) -> 'items') as i (item)
$$;
create function tests.exported()
returns text
language sql
as $$
select string_agg(concat_ws(' ', e.model, e.outcome, e.prompt_tokens), ', ' order by e.model) from limena.ai_usage_export as e
$$;
create function tests.recorded()
returns setof text
language sql
security definer
as $$
select right(t.name, 1) || ' ' || l.actor_label || ' ' || l.details::text
from limena.audit_logs as l
inner join limena.tenants as t on l.tenant_id = t.id
where l.action = 'ai_usage.exported'
order by l.seq
$$;

set local session authorization limena_app;
select tests.enter_as('b', 'owner');
select tests.use('of-b', 1000);
select tests.enter_as('a', 'member');
select tests.use('large', 100);
select tests.use('large', 10, 'failed');
select tests.use('small', 1);
select tests.enter_with_key('a', 'user');
select tests.use('small', 5);
select tests.leave();

-- Who.
select
    is(
        tests.outcomes(s.statement, '{nobody, viewer, member, admin, owner, user, reader, exporter, auditor}'),
        s.expected,
        s.name
    )
from (
    values
    (
        'select limena.list_ai_usage()',
        'nobody 42501, viewer 1, member 1, admin 1, owner 1, user 42501, reader 1, exporter 1, auditor 42501',
        'ai:read sees the usage'
    ),
    (
        'select limena.export_ai_usage()',
        'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, user 42501, reader 42501, exporter 1, '
        'auditor 42501',
        'who exports needs audit:export besides'
    ),
    (
        'select limena.begin_ai_usage_export()',
        'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, user 42501, reader 42501, exporter 1, '
        'auditor 42501',
        'for its filters as well'
    ),
    (
        'select from limena.ai_usage_export',
        'nobody 0, viewer 4, member 4, admin 4, owner 4, user 0, reader 4, exporter 4, auditor 0',
        'the rows are those that ai:read sees: of one''s own tenant'
    )
) as s (statement, expected, name);

-- By what.
select tests.enter_as('a', 'viewer');
select is(tests.usage('model'), 'large 2 1 110, small 2 0 6', 'by model, and nothing of b''s');
select is(tests.usage('user'), tests.user_id('a', 'member') || ' 3 1 111', 'by person');
select is(tests.usage('api_key'), tests.api_key_id('a', 'user') || ' 1 0 5', 'by key');
select is(
    tests.usage(),
    to_char(limena.ai_clock() at time zone 'UTC', 'YYYY-MM-DD') || ' 4 1 116',
    'by day, if nothing is said'
);
select is(tests.usage('model', p_from => now() + interval '1 day'), null, 'from tomorrow: nothing');
select is(tests.usage('model', p_to => now() - interval '1 day'), null, 'up to yesterday: nothing');
select is(tests.usage('model', p_from => '-infinity', p_to => 'infinity'), 'large 2 1 110, small 2 0 6', 'ever');
select is(
    limena.list_ai_usage('model', p_limit => 1) ->> 'next', 'large', 'a page ends with its last key'
);
select is(
    limena.list_ai_usage('model', p_limit => 1, p_after => 'large') #>> '{items, 0, key}',
    'small',
    'after which the next goes on'
);
select is(left(tests.error_of(s.statement), 5), '22023', s.statement)
from (
    values
    ('select limena.list_ai_usage(''tenant'')'),
    ('select limena.list_ai_usage(''day'', p_after => ''large'')'),
    ('select limena.list_ai_usage(''user'', p_after => ''%'')'),
    ('select limena.list_ai_usage(''model'', p_after => '''')'),
    ('select limena.list_ai_usage(p_limit => 0)'),
    ('select limena.list_ai_usage(p_limit => 201)')
) as s (statement);

-- Exported.
select tests.enter_as('a', 'owner');
select
    is(
        limena.export_ai_usage(p_from => '2020-01-01') ->> 'tenant_id',
        tests.tenant_id('a')::text,
        'an export says whose it is'
    );
select limena.begin_ai_usage_export();
select is(tests.exported() like '%of-b%', false, 'and none of b''s');
select limena.begin_ai_usage_export(p_from => now() + interval '1 day');
select is(tests.exported(), null, 'from tomorrow: nothing');
select limena.begin_ai_usage_export(p_to => now() - interval '1 day');
select is(tests.exported(), null, 'up to yesterday: nothing');
select limena.begin_ai_usage_export(p_from => '-infinity', p_to => 'infinity');
select is(tests.exported() like '%large%small%', true, 'ever: all');
select results_eq(
    $$select tests.recorded()$$,
    array['a owner@a.example {"format": "csv", "filters": {"from": "2020-01-01T00:00:00+00:00"}}'],
    'each export is on record, with its filters'
);

select * from finish();
rollback;
