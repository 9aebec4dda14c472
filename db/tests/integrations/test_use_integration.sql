-- limena.use_integration() and settle_refresh(): who gets a token, who refreshes it, and that nobody else does.
begin;
select plan(34);

select tests.make_tenants();
select tests.make_integration(
    p_tenant => 'a',
    p_provider => 'oidc',
    p_fields => '{access_token, refresh_token}',
    p_expires_at => now() + interval '1 hour'
);
select tests.make_integration(
    p_tenant => 'b',
    p_provider => 'oidc',
    p_fields => '{access_token, refresh_token}',
    p_expires_at => now() - interval '1 hour'
);
select tests.make_api_key(p_tenant => 'a', p_name => 'user', p_scopes => '{integrations:use}');
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{integrations:write}');

create function pg_temp.settle(
    p_lease timestamptz,
    p_tenant text default 'a',
    p_is_refused boolean default false,
    p_access_token text default 'refreshed access'
)
returns boolean
language sql
as $$
select limena.settle_refresh(
    p_tenant_id => tests.tenant_id(p_tenant),
    p_integration_id => tests.integration_id(p_tenant, 'oidc'),
    p_lease => p_lease,
    p_key_version => 2,
    p_access_token => case when not p_is_refused then tests.ciphertext(p_access_token) end,
    p_refresh_token => case when not p_is_refused then tests.ciphertext('rotated refresh') end,
    p_expires_in => 3600,
    p_is_refused => p_is_refused
)
$$;
create function pg_temp.expire(p_after interval)
returns void
language sql
security definer
as $$
update limena.integration_credentials set expires_at = clock_timestamp() + p_after
where tenant_id = tests.tenant_id('a') and field = 'access_token'
$$;

create temporary table used (fresh jsonb, due jsonb, busy jsonb, later jsonb);
grant select, insert, update on used to public;

set local role limena_app;
select is(
    tests.outcomes('select limena.use_integration(''oidc'')', '{nobody, viewer, member, admin, owner, user, writer}'),
    'nobody 42501, viewer 42501, member 1, admin 1, owner 1, user 1, writer 42501',
    'integrations:use uses'
);
select is(
    tests.outcomes('select limena.use_integration(''google'')', '{viewer, member}'),
    'viewer 42501, member P0002',
    'what is connected'
);

select tests.enter_with_key('a', 'user');
insert into used (fresh) select limena.use_integration('oidc');
select is((u.fresh ->> 'is_due')::boolean, false, 'an hour is left: nothing is due') from used as u;
select is(u.fresh ->> 'lease', null, 'and no lease given') from used as u;
select is(
    u.fresh -> 'credentials' -> 'access_token' ->> 'ciphertext',
    encode(tests.ciphertext('a oidc access_token'), 'hex'),
    'the API gets the sealed token'
) from used as u;
select ok((u.fresh ->> 'expires_in')::integer between 3590 and 3600, 'and how long it is good') from used as u;

-- A minute before its end it is due, and the first one gets the lease.
set local role postgres;
select pg_temp.expire(interval '59 seconds');
set local role limena_app;
update used set due = limena.use_integration('oidc');
select tests.enter_as('a', 'member');
update used set busy = limena.use_integration('oidc');
select is((u.due ->> 'is_due')::boolean, true, 'due') from used as u;
select isnt(u.due ->> 'lease', null, 'the first one is given the lease') from used as u;
select is((u.busy ->> 'is_due')::boolean, true, 'it is due for the second one, too') from used as u;
select is(u.busy ->> 'lease', null, 'who is given none') from used as u;
select is((u.busy ->> 'retry_after')::integer between 80 and 90, true, 'and how long the other one has') from used as u;
select ok(
    (u.due ->> 'lease')::timestamptz between clock_timestamp()
    + interval '80 seconds' and clock_timestamp()
    + interval '90 seconds',
    'it is for a minute and a half'
) from used as u;
select tests.leave();

set local role limena_auth;
select is(pg_temp.settle(null), false, 'nobody settles without a lease');
select is(pg_temp.settle((u.due ->> 'lease')::timestamptz + interval '1 microsecond'), false, 'or with another')
from used as u;
select is(pg_temp.settle((u.due ->> 'lease')::timestamptz, 'b'), false, 'or for another tenant') from used as u;
set local role postgres;
select is(
    (
        select c.ciphertext from limena.integration_credentials as c
        where c.tenant_id = tests.tenant_id('a') and c.field = 'refresh_token'
    ),
    tests.ciphertext('a oidc refresh_token'),
    'nothing was stored by these'
);
set local role limena_auth;
select is(pg_temp.settle((u.due ->> 'lease')::timestamptz), true, 'who has the lease stores') from used as u;
select is(pg_temp.settle((u.due ->> 'lease')::timestamptz), true, 'and is told so again') from used as u;
select is(
    pg_temp.settle((u.due ->> 'lease')::timestamptz, p_access_token => 'another'), false, 'but stores once'
) from used as u;
set local role postgres;
select results_eq(
    $$select c.field, c.key_version, c.ciphertext from limena.integration_credentials as c
    where c.tenant_id = tests.tenant_id('a') order by c.field$$,
    $$values ('access_token', 2, tests.ciphertext('refreshed access')),
        ('refresh_token', 2, tests.ciphertext('rotated refresh'))$$,
    'both tokens are the new ones'
);

-- A lease that ran out goes to the next one, and its old holder stores nothing.
select pg_temp.expire(interval '0');
update limena.integrations set refresh_leased_until = clock_timestamp() - interval '1 microsecond'
where tenant_id = tests.tenant_id('a');
update used set
    busy = (
        select jsonb_build_object('lease', i.refresh_leased_until) from limena.integrations as i
        where i.tenant_id = tests.tenant_id('a')
    );
set local role limena_app;
select tests.enter_with_key('a', 'user');
update used set later = limena.use_integration('oidc');
select isnt(u.later ->> 'lease', null, 'a lease that ran out is given anew') from used as u;
select tests.leave();
set local role limena_auth;
select is(
    pg_temp.settle((u.busy ->> 'lease')::timestamptz, p_access_token => 'late'), false, 'the old one is worth nothing'
) from used as u;

-- Refused: it is marked, and nobody asks the provider again.
select is(pg_temp.settle((u.later ->> 'lease')::timestamptz, 'a', true), true, 'a refusal is settled') from used as u;
set local role limena_app;
select tests.enter_with_key('a', 'user');
update used set later = limena.use_integration('oidc');
select is((u.later ->> 'is_failed')::boolean, true, 'it has failed') from used as u;
select is(u.later ->> 'lease', null, 'and nobody gets a lease any more') from used as u;
select tests.leave();
set local role postgres;
select results_eq(
    $$select l.action, l.actor_type, count(*) from limena.audit_logs as l
    where l.tenant_id = tests.tenant_id('a') and l.action in ('integration.refreshing', 'integration.failed')
    group by 1, 2 order by 1$$,
    $$values ('integration.failed', 'system', 1::bigint), ('integration.refreshing', 'api_key', 2)$$,
    'the log has who asked, and that it failed'
);

-- Connected anew while a refresh is under way: the refresh stores nothing.
update limena.integrations set failed_at = null
where tenant_id = tests.tenant_id('a');
set local role limena_app;
select tests.enter_as('a', 'owner');
update used set later = limena.use_integration('oidc');
select limena.connect_integration(
    p_provider => 'oidc', p_integration_id => tests.integration_id('a', 'oidc'), p_key_version => 1,
    p_access_token => tests.ciphertext('anew'), p_refresh_token => tests.ciphertext('anew'), p_expires_in => 3600
);
select tests.leave();
set local role limena_auth;
select isnt(u.later ->> 'lease', null, 'there was a lease') from used as u;
select is(pg_temp.settle((u.later ->> 'lease')::timestamptz), false, 'which the new connection took away')
from used as u;

-- Without a refresh token, and without an end.
set local role postgres;
delete from limena.integration_credentials
where tenant_id = tests.tenant_id('a') and field = 'refresh_token';
select pg_temp.expire(interval '0');
set local role limena_app;
select tests.enter_as('a', 'owner');
select is(
    limena.use_integration('oidc') - 'credentials' @> '{"is_due": true, "lease": null}',
    true,
    'nothing to refresh with: no lease'
);
set local role postgres;
update limena.integration_credentials set expires_at = null
where tenant_id = tests.tenant_id('a');
set local role limena_app;
select is(
    limena.use_integration('oidc') - 'credentials' @> '{"is_due": false, "expires_in": null}', true, 'no end: never due'
);

-- Frozen: whoever may use it otherwise may not now.
set local role postgres;
update limena.tenants set state = 'frozen'
where id = tests.tenant_id('a');
set local role limena_app;
select
    is(
        tests.outcomes(s.statement, '{owner, user}') !~ ' 1', true, 'in a frozen tenant not: ' || s.statement
    )
from (
    values
    ('select limena.use_integration(''oidc'')'),
    ('select limena.read_integrations(''integrations:use'')'),
    ('select limena.prepare_integration(''oidc'')'),
    ('select limena.disconnect_integration(''oidc'', ''done'')')
) as s (statement);

select * from finish();
rollback;
