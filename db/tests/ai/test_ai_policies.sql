-- The tables of the ai domain below the API: each actor, own tenant and another's. Nobody writes one: the procedures
-- do. Fails without db/policies/ai.
begin;
select plan(93);

select is(tests.row_security_of('limena.ai_quotas'), 'forced', 'ai_quotas: row-level security binds the owner too');
select results_eq(
    $$select tests.policies_of('limena.ai_quotas')$$,
    array[
        'ai_quotas_delete_owner: delete to limena_owner',
        'ai_quotas_insert_owner: insert to limena_owner',
        'ai_quotas_select_app: select to limena_app',
        'ai_quotas_select_owner: select to limena_owner',
        'ai_quotas_select_readonly: select to limena_readonly',
        'ai_quotas_update_owner: update to limena_owner'
    ],
    'ai_quotas: exactly these policies'
);
select results_eq(
    $$select tests.privileges_of('limena.ai_quotas')$$,
    array[
        'limena_app: select (tenant_id, as_of, calls, recent_calls, used_tokens, reserved_tokens,'
        ' written_off_tokens, expires_at, warned_percent, trip_cause, tripped_at, trip_ends_at)',
        'limena_readonly: select (tenant_id, as_of, calls, recent_calls, used_tokens, reserved_tokens,'
        ' written_off_tokens, expires_at, warned_percent, trip_cause, tripped_at, trip_ends_at)'
    ],
    'ai_quotas: exactly these privileges'
);
select
    is(
        tests.row_security_of('limena.ai_quota_months'),
        'forced',
        'ai_quota_months: row-level security binds the owner too'
    );
select results_eq(
    $$select tests.policies_of('limena.ai_quota_months')$$,
    array[
        'ai_quota_months_delete_owner: delete to limena_owner',
        'ai_quota_months_insert_owner: insert to limena_owner',
        'ai_quota_months_select_app: select to limena_app',
        'ai_quota_months_select_owner: select to limena_owner',
        'ai_quota_months_select_readonly: select to limena_readonly',
        'ai_quota_months_update_owner: update to limena_owner'
    ],
    'ai_quota_months: exactly these policies'
);
select results_eq(
    $$select tests.privileges_of('limena.ai_quota_months')$$,
    array[
        'limena_app: select (tenant_id, month, used_tokens, reserved_tokens)',
        'limena_readonly: select (tenant_id, month, used_tokens, reserved_tokens)'
    ],
    'ai_quota_months: exactly these privileges'
);
select
    is(
        tests.row_security_of('limena.ai_reservations'),
        'forced',
        'ai_reservations: row-level security binds the owner too'
    );
select results_eq(
    $$select tests.policies_of('limena.ai_reservations')$$,
    array[
        'ai_reservations_delete_owner: delete to limena_owner',
        'ai_reservations_insert_owner: insert to limena_owner',
        'ai_reservations_select_app: select to limena_app',
        'ai_reservations_select_owner: select to limena_owner',
        'ai_reservations_select_readonly: select to limena_readonly',
        'ai_reservations_update_owner: update to limena_owner'
    ],
    'ai_reservations: exactly these policies'
);
select results_eq(
    $$select tests.privileges_of('limena.ai_reservations')$$,
    array[
        'limena_app: select (tenant_id, id, actor_type, actor_id, model, estimated_tokens, state,'
        ' created_at, expires_at)',
        'limena_readonly: select (tenant_id, id, actor_type, actor_id, model, estimated_tokens, state,'
        ' created_at, expires_at)'
    ],
    'ai_reservations: exactly these privileges'
);
select is(tests.row_security_of('limena.ai_settings'), 'forced', 'ai_settings: row-level security binds the owner too');
select results_eq(
    $$select tests.policies_of('limena.ai_settings')$$,
    array[
        'ai_settings_delete_owner: delete to limena_owner',
        'ai_settings_insert_owner: insert to limena_owner',
        'ai_settings_select_app: select to limena_app',
        'ai_settings_select_owner: select to limena_owner',
        'ai_settings_select_readonly: select to limena_readonly',
        'ai_settings_update_owner: update to limena_owner'
    ],
    'ai_settings: exactly these policies'
);
select results_eq(
    $$select tests.privileges_of('limena.ai_settings')$$,
    array[
        'limena_app: select (tenant_id, is_enabled, is_allowed, max_calls_per_hour, max_tokens_per_month,'
        ' calls_per_hour, tokens_per_month)',
        'limena_readonly: select (tenant_id, is_enabled, is_allowed, max_calls_per_hour,'
        ' max_tokens_per_month, calls_per_hour, tokens_per_month)'
    ],
    'ai_settings: exactly these privileges'
);
select
    is(
        tests.row_security_of('limena.ai_usage_days'), 'forced', 'ai_usage_days: row-level security binds the owner too'
    );
select results_eq(
    $$select tests.policies_of('limena.ai_usage_days')$$,
    array[
        'ai_usage_days_delete_owner: delete to limena_owner',
        'ai_usage_days_insert_owner: insert to limena_owner',
        'ai_usage_days_select_app: select to limena_app',
        'ai_usage_days_select_owner: select to limena_owner',
        'ai_usage_days_select_readonly: select to limena_readonly',
        'ai_usage_days_update_owner: update to limena_owner'
    ],
    'ai_usage_days: exactly these policies'
);
select results_eq(
    $$select tests.privileges_of('limena.ai_usage_days')$$,
    array[
        'limena_app: select (tenant_id, day, actor_type, actor_id, model, outcome, calls, prompt_tokens,'
        ' completion_tokens, latency_ms)',
        'limena_readonly: select (tenant_id, day, actor_type, actor_id, model, outcome, calls,'
        ' prompt_tokens, completion_tokens, latency_ms)'
    ],
    'ai_usage_days: exactly these privileges'
);
select
    is(
        tests.row_security_of('limena.ai_usage_logs'), 'forced', 'ai_usage_logs: row-level security binds the owner too'
    );
select results_eq(
    $$select tests.policies_of('limena.ai_usage_logs')$$,
    array[
        'ai_usage_logs_delete_owner: delete to limena_owner',
        'ai_usage_logs_insert_owner: insert to limena_owner',
        'ai_usage_logs_select_app: select to limena_app',
        'ai_usage_logs_select_owner: select to limena_owner',
        'ai_usage_logs_select_readonly: select to limena_readonly',
        'ai_usage_logs_update_owner: update to limena_owner'
    ],
    'ai_usage_logs: exactly these policies'
);
select results_eq(
    $$select tests.privileges_of('limena.ai_usage_logs')$$,
    array[
        'limena_app: select (tenant_id, occurred_at, id, actor_type, actor_id, model, outcome,'
        ' prompt_tokens, completion_tokens, latency_ms, recorded_at, recorded_by)',
        'limena_readonly: select (tenant_id, occurred_at, id, actor_type, actor_id, model, outcome,'
        ' prompt_tokens, completion_tokens, latency_ms, recorded_at, recorded_by)'
    ],
    'ai_usage_logs: exactly these privileges'
);

-- A row of each table, in both tenants.
select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{ai:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'user', p_scopes => '{ai:use}');
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{ai:write}');
insert into limena.ai_settings (tenant_id) values (tests.tenant_id('a')), (tests.tenant_id('b'));
insert into limena.ai_quotas (tenant_id, as_of) values (tests.tenant_id('a'), now()), (tests.tenant_id('b'), now());
insert into limena.ai_quota_months (tenant_id, month, used_tokens, reserved_tokens)
select
    q.tenant_id,
    '2026-01-01',
    0,
    0
from limena.ai_quotas as q;
insert into limena.ai_reservations (
    tenant_id, id, actor_type, actor_id, model, estimated_tokens, created_at, expires_at
)
select
    q.tenant_id,
    gen_random_uuid(),
    'user',
    gen_random_uuid(),
    'm',
    1,
    now(),
    now()
from limena.ai_quotas as q;
insert into limena.ai_usage_logs (tenant_id, occurred_at, id, actor_type, actor_id, model, outcome, recorded_at)
select
    q.tenant_id,
    now(),
    gen_random_uuid(),
    'user',
    gen_random_uuid(),
    'm',
    'released',
    now()
from limena.ai_quotas as q;
insert into limena.ai_usage_days (
    tenant_id, day, actor_type, actor_id, model, outcome, calls, prompt_tokens, completion_tokens, latency_ms
)
select
    q.tenant_id,
    now(),
    'user',
    gen_random_uuid(),
    'm',
    'released',
    1,
    0,
    0,
    0
from limena.ai_quotas as q;
create table tests.ai_tables as
select t.name
from unnest(array['quotas', 'quota_months', 'reservations', 'settings', 'usage_days', 'usage_logs']) as t (name);
grant select on tests.ai_tables to public;

set local role limena_app;
select
    is(
        tests.outcomes(
            format('select tenant_id from limena.ai_%s', t.name),
            '{nobody, viewer, member, admin, owner, reader, user, writer}'
        ),
        'nobody 0, viewer 1, member 1, admin 1, owner 1, reader 1, user 0, writer 0',
        t.name || ': ai:read sees what is the tenant''s'
    )
from tests.ai_tables as t;
select
    is(
        tests.outcomes(
            format('select from limena.ai_%s where tenant_id = %L', t.name, tests.tenant_id('b')),
            '{nobody, admin, owner, reader}'
        ),
        'nobody 0, admin 0, owner 0, reader 0',
        t.name || ': another''s is not there'
    )
from tests.ai_tables as t;
select
    is(
        tests.outcomes(format(s.statement, t.name), '{nobody, admin, owner, writer}'),
        'nobody 42501, admin 42501, owner 42501, writer 42501',
        format(s.statement, t.name)
    )
from tests.ai_tables as t
cross join (
    values
    ('update limena.ai_%s set tenant_id = tenant_id'),
    ('delete from limena.ai_%s'),
    ('insert into limena.ai_%s (tenant_id) values (null)'),
    ('truncate limena.ai_%s cascade')
) as s (statement);
select is(
    tests.outcomes('select idempotency_key from limena.ai_reservations', '{admin, owner, reader}'),
    'admin 42501, owner 42501, reader 42501',
    'nobody reads another''s Idempotency-Key'
);
select
    is(
        tests.outcomes(format('select from limena.%s', v.name), '{nobody, viewer, owner, user}'),
        'nobody 0, viewer 1, owner 1, user 1',
        v.name || ' shows no other tenant'
    )
from (values ('ai_limits'), ('ai_quota_states')) as v (name);

set local role limena_readonly;
select
    is(
        tests.outcome(format('select tenant_id from limena.ai_%s', t.name)), '0',
        t.name || ': limena_readonly sees nothing before access is declared'
    )
from tests.ai_tables as t;
select
    is(
        tests.outcome(format('update limena.ai_%s set tenant_id = tenant_id', t.name)), '42501',
        t.name || ': and writes nothing'
    )
from tests.ai_tables as t;
set local role limena_auth;
select
    is(
        tests.outcome(format('select tenant_id from limena.ai_%s', t.name)), '42501',
        t.name || ': limena_auth touches no table'
    )
from tests.ai_tables as t;
set local role limena_maintenance;
select
    is(
        tests.outcome(format('select tenant_id from limena.ai_%s', t.name)), '42501',
        t.name || ': nor does limena_maintenance'
    )
from tests.ai_tables as t;

set local role limena_owner;
select
    is(
        tests.outcome(format('select tenant_id from limena.ai_%s', t.name)),
        '2',
        t.name || ': limena_owner finds all of it'
    )
from tests.ai_tables as t;
select
    is(
        tests.outcome(format('delete from limena.ai_%s', t.name)),
        case t.name when 'quotas' then '23503' else '2' end,
        t.name || ': and deletes it, for prune() and erase_tenant()'
    )
from tests.ai_tables as t;

select * from finish();
rollback;
