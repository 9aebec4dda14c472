-- limena.update_ai_settings() and reset_ai_quota(): who may, up to what, and what ends a pause. Fails without the
-- question for ai:write, for tenant:own where a limit is named, and without the platform's limit above one's own.
begin;
select plan(30);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{ai:read, ai:write}');
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{ai:read}');
insert into limena.ai_settings (tenant_id, calls_per_hour) values (tests.tenant_id('b'), 40);

-- As the superuser who wrote it, whoever asks: 'calls tokens', each only where it is the tenant's own.
create function tests.settings_of(p_tenant text)
returns text
language sql
security definer
as $$
select concat_ws(
    ', ', case when s.is_enabled then 'on' else 'off' end, s.calls_per_hour || ' calls', s.tokens_per_month || ' tokens'
)
from limena.ai_settings as s
where s.tenant_id = tests.tenant_id(p_tenant)
$$;
create function tests.trip(p_cause text, p_calls integer default 0, p_tokens bigint default 0)
returns void
language sql
security definer
as $$
update limena.ai_quotas set
    trip_cause = p_cause, tripped_at = now(), trip_ends_at = now() + interval '1 hour', recent_calls = p_calls,
    calls = array[p_calls] || array_fill(0, array[60]), used_tokens = p_tokens, as_of = limena.ai_clock()
where tenant_id = tests.tenant_id('a')
$$;
create function tests.pause()
returns text
language sql
security definer
as $$ select coalesce(q.trip_cause, 'none') from limena.ai_quotas as q where q.tenant_id = tests.tenant_id('a') $$;

-- Who.
set local session authorization limena_app;
select is(tests.outcomes(s.statement, '{nobody, viewer, member, admin, owner, reader, writer}'), s.expected, s.name)
from (
    values
    (
        'select limena.update_ai_settings(p_is_enabled => false)',
        'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, reader 42501, writer 1',
        'ai:write switches AI off and on'
    ),
    (
        'select limena.update_ai_settings(p_calls_per_hour => 10)',
        'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1, reader 42501, writer 42501',
        'a limit is the owner''s to set: calls'
    ),
    (
        'select limena.update_ai_settings(p_is_enabled => true, p_tokens_per_month => 10)',
        'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1, reader 42501, writer 42501', 'and tokens'
    ),
    (
        'select limena.reset_ai_quota()',
        'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1, reader 42501, writer 42501',
        'to end a pause, too'
    ),
    (
        'select limena.get_ai_quota()',
        'nobody 42501, viewer 1, member 1, admin 1, owner 1, reader 1, writer 1', 'ai:read sees the quota'
    ),
    (
        'select from jsonb_array_elements(limena.ai_notices())',
        'nobody 0, viewer 0, member 0, admin 0, owner 0, reader 0, writer 0',
        'where nothing is the matter, there is no notice'
    )
) as s (statement, expected, name);
select is(tests.settings_of('b'), 'on, 40 calls', 'none of it was another tenant''s');

-- Up to what.
select tests.enter_as('a', 'owner');
select is(left(tests.error_of(s.statement), 5), '22023', s.statement)
from (
    values
    ('select limena.update_ai_settings(p_calls_per_hour => 501)'),
    ('select limena.update_ai_settings(p_calls_per_hour => 0)'),
    ('select limena.update_ai_settings(p_calls_per_hour => -1)'),
    ('select limena.update_ai_settings(p_tokens_per_month => 20000001)'),
    ('select limena.update_ai_settings(p_tokens_per_month => 0)'),
    ('select limena.update_ai_settings(p_tokens_per_month => 9223372036854775807)')
) as s (statement);
select is(limena.update_ai_settings(p_calls_per_hour => 10) -> 'calls' ->> 'limit', '10', 'the answer is the quota');
select is(tests.settings_of('a'), 'on, 10 calls', 'one limit alone');
select limena.update_ai_settings(p_is_enabled => false, p_tokens_per_month => 20);
select is(tests.settings_of('a'), 'off, 10 calls, 20 tokens', 'what is not given stays');
select is(limena.get_ai_quota() ->> 'state', 'disabled', 'off is off');
select is(limena.ai_notices() #>> '{0, code}', 'ai_disabled', 'and a notice says so');
select limena.update_ai_settings(true, 500, 20000000);
select is(tests.settings_of('a'), 'on', 'a limit that is the platform''s is none of one''s own');
set local session authorization postgres;
select results_eq(
    $$select l.action, l.actor_label, l.changes
    from limena.audit_logs as l
    where l.tenant_id = tests.tenant_id('a') and l.entity_type = 'ai_settings' and l.changes ? 'is_enabled'
    order by l.seq desc
    limit 1$$,
    $$values (
        'ai_settings.updated', 'owner@a.example',
        '{"is_enabled": [false, true], "calls_per_hour": [10, null], "tokens_per_month": [20, null]}'::jsonb
    )$$,
    'on record: who, from what, to what'
);

-- What ends a pause.
set local session authorization limena_app;
select tests.enter_as('a', 'owner');
select tests.trip('velocity', 500);
select is(limena.get_ai_quota() -> 'trip' ->> 'cause', 'velocity', 'a pause for velocity');
select is(limena.ai_notices() #>> '{0, code}', 'ai_velocity_exceeded', 'is told in a notice');
select limena.reset_ai_quota();
select is(tests.pause(), 'none', 'an owner ends it');
select is(limena.get_ai_quota() -> 'calls' ->> 'used', '0', 'and the count of the hour begins anew');
select tests.trip('ceiling', 3, 20000000);
select is(tests.outcome('select limena.reset_ai_quota()'), '42501', 'one for the ceiling is the platform''s to end');
select is(tests.pause(), 'ceiling', 'and goes on');
select limena.update_ai_settings(p_is_enabled => true);
select is(tests.pause(), 'ceiling', 'switching AI on does not end it');
select tests.trip('velocity', 50);
select limena.update_ai_settings(p_calls_per_hour => 40);
select is(tests.pause(), 'velocity', 'a limit that has been passed ends no pause');
select limena.update_ai_settings(p_calls_per_hour => 500);
select is(tests.pause(), 'none', 'one with a tenth to spare does');
set local session authorization postgres;
select results_eq(
    $$select l.details ->> 'by' from limena.audit_logs as l
    where l.tenant_id = tests.tenant_id('a') and l.action = 'ai_quota.reset'
    order by l.seq$$,
    array['manual', 'limits'],
    'each end of a pause is on record'
);

select * from finish();
rollback;
