-- limena.administer_tenant(): who may, what each action does to which tenant, and where it is on record. Fails without
-- the question after the session, after the flag, or after the tenant.
begin;
select plan(48);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
insert into limena.users (id, email, display_name, password_hash, is_platform_admin)
values (tests.user_id('platform', 'admin'), 'root@x.example', 'Root', '$2b$04$' || repeat('.', 53), true);
insert into limena.sessions (id, user_id, secret_hash)
values (
    tests.id('session', 'platform admin'), tests.user_id('platform', 'admin'), tests.session_hash('platform', 'admin')
);

create function tests.administer(
    p_action text,
    p_reason text default 'because',
    p_tenant_id uuid default tests.tenant_id('a'),
    p_by text default 'platform admin',
    p_calls_per_hour integer default null,
    p_tokens_per_month bigint default null
)
returns text
language sql
as $$
select tests.outcome(
    format(
        'select limena.administer_tenant(%L, %L, %L, %L, %L, %L)',
        tests.session_hash(split_part(p_by, ' ', 1), split_part(p_by, ' ', 2)), p_tenant_id, p_action, p_reason,
        p_calls_per_hour, p_tokens_per_month
    )
)
$$;
create function tests.does(p_action text, p_calls_per_hour integer default null)
returns void
language sql
as $$
select limena.administer_tenant(
    p_secret_hash => tests.session_hash('platform', 'admin'),
    p_tenant_id => tests.tenant_id('a'),
    p_action => p_action,
    p_reason => 'because of ' || p_action,
    p_calls_per_hour => p_calls_per_hour,
    p_request_id => 'request 7',
    p_ip => '192.0.2.7'
)
$$;
-- As the superuser who wrote it, whoever asks.
create function tests.tenants_are()
returns text
language sql
security definer
as $$
select string_agg(
    concat_ws(
        ' ',
        right(t.name, 1),
        t.state,
        (
            select count(*) from limena.api_keys as k
            where k.tenant_id = t.id and k.revoked_at is null
        ),
        case when not s.is_allowed then 'without AI' end,
        nullif(s.max_calls_per_hour, 500),
        q.trip_cause
    ),
    ', ' order by t.name
)
from limena.tenants as t
left join limena.ai_settings as s on t.id = s.tenant_id
left join limena.ai_quotas as q on t.id = q.tenant_id
where t.name like 'Tenant %'
$$;
create function tests.recorded(p_tenant_id uuid)
returns setof text
language sql
security definer
as $$
select concat_ws(' ', l.action, l.actor_type, l.actor_label, l.details ->> 'reason')
from limena.audit_logs as l
where l.tenant_id = p_tenant_id and l.occurred_at >= now() and l.details ->> 'reason' like 'because of %'
order by l.seq
$$;

-- Who.
set local session authorization limena_auth;
select is(tests.administer('freeze', p_by => 'platform admin'), '1', 'a platform admin may');
select is(tests.administer('freeze', p_by => w.who), w.expected, 'not so ' || w.who)
from (
    values
    ('a owner', '42501'), ('a admin', '42501'), ('a member', '42501'), ('a viewer', '42501'), ('b owner', '42501'),
    ('nobody there', '28000')
) as w (who, expected);
select
    is(
        tests.outcome(
            format('select limena.administer_tenant(%s, %L, ''freeze'', ''x'')', h.hash, tests.tenant_id('a'))
        ),
        '28000',
        'no session, no action: ' || h.hash
    )
from (values ('null'), ('''\x'''), ('sha256(''x'')')) as h (hash);
set local session authorization postgres;
savepoint intact;  -- noqa: PRS
update limena.sessions set ended_at = now() where id = tests.id('session', 'platform admin');
set local session authorization limena_auth;
select is(tests.administer('freeze'), '28000', 'nor whose session has ended');
rollback to savepoint intact;
update limena.sessions set expires_at = now() where id = tests.id('session', 'platform admin');
set local session authorization limena_auth;
select is(tests.administer('freeze'), '28000', 'or has run out');
rollback to savepoint intact;
update limena.users set is_platform_admin = false where id = tests.user_id('platform', 'admin');
set local session authorization limena_auth;
select is(tests.administer('freeze'), '42501', 'nor who was one');
rollback to savepoint intact;
set local role limena_app;
select is(
    tests.outcomes(
        format(
            'select limena.administer_tenant(%L, %L, ''freeze'', ''x'')', tests.session_hash('platform', 'admin'),
            tests.tenant_id('a')
        )
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'limena_app may not, in whoever''s context, with whoever''s session'
);
reset role;

-- What it refuses.
set local session authorization limena_auth;
select is(tests.administer(r.action, r.reason, r.tenant_id), r.expected, r.name)
from (
    values
    ('freeze', null, tests.tenant_id('a'), '22023', 'without a reason'),
    ('disable-ai', null, tests.tenant_id('a'), '22023', 'whatever is done'),
    ('freeze', ' ', tests.tenant_id('a'), '22023', 'with a blank one'),
    ('freeze', E'\u200b', tests.tenant_id('a'), '22023', 'with one that nobody sees'),
    ('freeze', repeat('x', 501), tests.tenant_id('a'), '22023', 'with one too long'),
    ('erase', 'x', tests.tenant_id('a'), 'P0002', 'what is no action'),
    (null, 'x', tests.tenant_id('a'), 'P0002', 'nothing'),
    ('freeze', 'x', null, 'P0002', 'no tenant'),
    ('freeze', 'x', tests.id('none', ''), 'P0002', 'a tenant that is not there')
) as r (action, reason, tenant_id, expected, name);
select is(
    tests.administer(a.action, 'x', '00000000-0000-4000-8000-000000000000', p_calls_per_hour => a.calls), 'P0002',
    'the platform itself: ' || a.action
)
from (
    values
    ('freeze', null), ('unfreeze', null), ('disable-ai', null), ('enable-ai', null), ('revoke-api-keys', null),
    ('reset-ai-quota', null), ('set-ai-limits', 5)
) as a (action, calls);
select
    is(
        tests.administer('set-ai-limits', p_calls_per_hour => l.calls, p_tokens_per_month => l.tokens),
        l.expected,
        l.name
    )
from (
    values
    (null::integer, null::bigint, '22023', 'limits that are none'),
    (0, null, '22023', 'no calls'),
    (1000001, null, '22023', 'more calls than there are'),
    (null, 0, '22023', 'no tokens'),
    (null, 1000000000000001, '22023', 'more tokens than there are')
) as l (calls, tokens, expected, name);
select is(tests.administer('freeze', p_calls_per_hour => 5), '22023', 'calls belong to set-ai-limits');
select is(tests.administer('freeze', p_tokens_per_month => 5), '22023', 'tokens too');
select is(tests.tenants_are(), 'a active 1, b active 1', 'and nothing came of any of this');

-- What it does.
select tests.does('freeze');
select is(tests.tenants_are(), 'a frozen 1, b active 1', 'freeze: the tenant, and no other');
select tests.does('unfreeze');
select is(tests.tenants_are(), 'a active 1, b active 1', 'unfreeze');
select tests.does('disable-ai');
select is(tests.tenants_are(), 'a active 1 without AI, b active 1', 'disable-ai');
select tests.does('enable-ai');
select is(tests.tenants_are(), 'a active 1, b active 1', 'enable-ai');
select tests.does('set-ai-limits', 7);
select is(tests.tenants_are(), 'a active 1 7, b active 1', 'set-ai-limits');
select tests.does('revoke-api-keys');
select is(tests.tenants_are(), 'a active 0 7, b active 1', 'revoke-api-keys');
set local session authorization postgres;
update limena.ai_quotas
set trip_cause = 'ceiling', tripped_at = now(), trip_ends_at = 'infinity'
where tenant_id = tests.tenant_id('a');
set local session authorization limena_auth;
select tests.does('reset-ai-quota');
select is(tests.tenants_are(), 'a active 0 7, b active 1', 'reset-ai-quota');

-- Where it is on record.
select results_eq(
    $$select tests.recorded(tests.tenant_id('a'))$$,
    array[
        'tenant.frozen operator root@x.example because of freeze',
        'tenant.unfrozen operator root@x.example because of unfreeze',
        'ai_settings.administered operator root@x.example because of disable-ai',
        'ai_settings.administered operator root@x.example because of enable-ai',
        'ai_settings.administered operator root@x.example because of set-ai-limits',
        'tenant.api_keys_revoked operator root@x.example because of revoke-api-keys',
        'ai_quota.reset operator root@x.example because of reset-ai-quota'
    ],
    'in the tenant''s log, and by whom'
);
select results_eq(
    $$select tests.recorded('00000000-0000-4000-8000-000000000000')$$,
    array(
        select 'platform.tenant_administered operator root@x.example because of ' || a.action
        from unnest(
            '{freeze, unfreeze, disable-ai, enable-ai, set-ai-limits, revoke-api-keys, reset-ai-quota}'::text[]
        ) as a (action)
    ),
    'in the platform''s'
);
select is_empty($$select tests.recorded(tests.tenant_id('b'))$$, 'in no other');

select * from finish();
rollback;
