-- limena.record_denial(): what a denial leaves behind, and where. Fails without the function.
begin;
select plan(20);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_scopes => '{members:read}');
create temporary table logged as select l.id from limena.audit_logs as l;

-- What this file adds to the log, without what is different each time.
create function pg_temp.added()
returns setof jsonb
language sql
as $$
select to_jsonb(l) - '{id, occurred_at, seq, who_salt, changes_salt}'::text[]
from limena.audit_logs as l
where l.id not in (select g.id from logged as g)
order by l.seq
$$;

set local role limena_app;
select limena.enter_session(
    tests.session_hash('a', 'viewer'),
    tests.tenant_id('a'),
    'request 1',
    '192.0.2.1',
    'agent 1'
);
select lives_ok($$select limena.record_denial('api_keys:write', 'POST /api/v1/api-keys')$$, 'a person''s denial');
select limena.enter_api_key(tests.key_hash('a'), 'request 2');
select lives_ok($$select limena.record_denial('audit:read', 'GET /api/v1/audit-logs')$$, 'a key''s denial');
select limena.enter_session(tests.session_hash('a', 'viewer'), null);
select lives_ok(
    $$select limena.record_denial('members:read', 'GET /' || repeat('x', 200))$$,
    'the denial of a person in no tenant'
);

reset role;
select results_eq(
    'select pg_temp.added()',
    array[
        jsonb_build_object(
            'tenant_id', tests.tenant_id('a'), 'action', 'access.denied',
            'actor_type', 'user', 'actor_id', tests.user_id('a', 'viewer'), 'actor_label', 'viewer@a.example',
            'on_behalf_of_id', null, 'on_behalf_of_label', null,
            'entity_type', null, 'entity_id', null, 'changes', '{}'::jsonb,
            'details', '{"permission": "api_keys:write", "route": "POST /api/v1/api-keys"}'::jsonb,
            'request_id', 'request 1', 'ip', '192.0.2.1', 'user_agent', 'agent 1'
        ),
        jsonb_build_object(
            'tenant_id', tests.tenant_id('a'), 'action', 'access.denied',
            'actor_type', 'api_key', 'actor_id', tests.api_key_id('a'), 'actor_label', 'key (lmn_tests0…0000)',
            'on_behalf_of_id', tests.user_id('a', 'owner'), 'on_behalf_of_label', 'owner@a.example',
            'entity_type', null, 'entity_id', null, 'changes', '{}'::jsonb,
            'details', '{"permission": "audit:read", "route": "GET /api/v1/audit-logs"}'::jsonb,
            'request_id', 'request 2', 'ip', null, 'user_agent', null
        ),
        jsonb_build_object(
            'tenant_id', '00000000-0000-4000-8000-000000000000', 'action', 'access.denied',
            'actor_type', 'user', 'actor_id', tests.user_id('a', 'viewer'), 'actor_label', 'viewer@a.example',
            'on_behalf_of_id', null, 'on_behalf_of_label', null,
            'entity_type', null, 'entity_id', null, 'changes', '{}'::jsonb,
            'details', jsonb_build_object('permission', 'members:read', 'route', 'GET /' || repeat('x', 200)),
            'request_id', null, 'ip', null, 'user_agent', null
        )
    ],
    'each in the log of the tenant that it was in, the last in the platform''s'
);

-- What it refuses, so that the log cannot be filled with anything.
set local role limena_app;
select tests.enter_as('a', 'viewer');
select is(
    tests.error_of($$select limena.record_denial('no:such', 'GET /')$$), '22023 no such permission; column permission',
    'a permission that does not exist'
);
select is(
    tests.error_of($$select limena.record_denial(null, 'GET /')$$),
    '22023 no such permission; column permission',
    'none'
);
select is(
    tests.error_of($$select limena.record_denial('members:read', 'GET /')$$), '22023 is not missing; column permission',
    'one that is there'
);
select
    is(
        tests.error_of(format('select limena.record_denial(''tenant:own'', %L)', w.route)),
        '22023 is no route; column route',
        format('%L is no route', left(w.route, 30))
    )
from (
    values
    (null), (''), ('GET'), ('/api'), ('get /api'), ('GET api'), ('GET /' || repeat('x', 201)), ('GET /a b'),
    ('GET /a?b=c'), (E'GET /a\n'), ('GET /ä')
) as w (route);
select tests.leave();
select is(
    tests.error_of($$select limena.record_denial('members:read', 'GET /')$$),
    '42501 there is no context to record a denial in', 'without a context nothing is recorded'
);
reset role;
select results_eq('select count(*) from pg_temp.added()', array[3::bigint], 'what was refused left no row');

select * from finish();
rollback;
