-- limena.credential_key_versions(), stale_credentials(), reseal_credentials() and record_master_key_rotation(): what a
-- rotation of the master key reads and replaces, and that it replaces nothing else. Fails without the comparison with
-- the old ciphertext, the tenant, or the version.
begin;
select plan(34);

select tests.make_tenants();
select tests.make_integration(p_tenant => 'a', p_provider => 'oidc', p_fields => '{access_token, refresh_token}');
select tests.make_integration(p_tenant => 'b', p_provider => 'oidc', p_fields => '{access_token}', p_key_version => 2);
insert into limena.integration_flows (
    tenant_id, id, provider, session_id, user_id, state_hash, key_version, ciphertext
)
values (
    tests.tenant_id('b'), tests.id('flow', 'b'), 'google', tests.id('session', 'b owner'), tests.user_id('b', 'owner'),
    sha256('state'), 1, tests.ciphertext('b verifier')
);

-- One ciphertext by another one; what is said of it can be wrong.
create function tests.reseal(
    p_tenant text default 'a',
    p_field text default 'access_token',
    p_old_version integer default 1,
    p_new_version integer default 3,
    p_was text default null,
    p_id uuid default null
)
returns integer
language sql
as $$
select limena.reseal_credentials(
    p_old_version => p_old_version,
    p_new_version => p_new_version,
    p_tenant_ids => array[tests.tenant_id(p_tenant)],
    p_ids => array[coalesce(p_id, tests.integration_id(p_tenant, 'oidc'))],
    p_fields => array[p_field],
    p_old => array[tests.ciphertext(coalesce(p_was, p_tenant || ' oidc ' || p_field))],
    p_new => array[tests.ciphertext('anew')]
)
$$;
-- As the superuser who wrote it, whoever asks.
create function tests.sealed()
returns text
language sql
security definer
as $$
select string_agg(concat_ws(' ', c.tenant, c.field, c.key_version, case when c.is_new then 'new' end), ', ' order by c.tenant, c.field)
from (
    select right(t.name, 1) as tenant, c.field, c.key_version, c.ciphertext = tests.ciphertext('anew') as is_new
    from limena.integration_credentials as c
    inner join limena.tenants as t on c.tenant_id = t.id
    union all
    select right(t.name, 1), 'verifier', f.key_version, f.ciphertext = tests.ciphertext('anew')
    from limena.integration_flows as f
    inner join limena.tenants as t on f.tenant_id = t.id
) as c
$$;
create function tests.recorded()
returns setof text
language sql
security definer
as $$
select concat_ws(' ', l.tenant_id = '00000000-0000-4000-8000-000000000000', l.action, l.entity_id, l.details)
from limena.audit_logs as l
where l.entity_type = 'master_key'
order by l.seq
$$;

-- Whose it is to call.
set local session authorization limena_app;
select
    is(
        tests.outcomes(s.statement), 'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
        'not limena_app''s: ' || s.statement
    )
from (
    values
    ('select limena.credential_key_versions()'), ('select limena.stale_credentials(1, 10)'), ('select tests.reseal()'),
    ('select limena.record_master_key_rotation(2)')
) as s (statement);
set local session authorization limena_auth;
select is(tests.outcome('select limena.stale_credentials(1, 10)'), '42501', 'nor limena_auth''s');
set local session authorization limena_readonly;
select is(tests.outcome('select limena.stale_credentials(1, 10)'), '42501', 'nor an operator''s');

-- What is stale.
set local session authorization limena_maintenance;
select results_eq(
    $$select v.key_version, v.credentials from limena.credential_key_versions() as v$$,
    $$values (1, 3::bigint), (2, 1)$$,
    'how much is sealed under which version, code verifiers too'
);
select results_eq(
    $$select s.field, s.ciphertext, s.salt from limena.stale_credentials(1, 10) as s order by s.field$$,
    $$values
    ('access_token', tests.ciphertext('a oidc access_token'), sha256('salt a')),
    ('code_verifier', tests.ciphertext('b verifier'), sha256('salt b')),
    ('refresh_token', tests.ciphertext('a oidc refresh_token'), sha256('salt a'))$$,
    'the ciphertexts of a version, each with the salt of its tenant'
);
select is(
    (
        with recursive pages as (
            select
                s.*,
                1 as number
            from limena.stale_credentials(1, 1) as s
            union all
            select
                s.*,
                p.number + 1
            from pages as p
            cross join lateral limena.stale_credentials(1, 1, p.tenant_id, p.id, p.field) as s
        )

        select count(distinct concat_ws(' ', p.tenant_id, p.id, p.field)) || ' in ' || max(p.number) from pages as p
    ),
    '3 in 3', 'page by page, each once'
);
select is_empty($$select from limena.stale_credentials(7, 10)$$, 'none of a version that nothing is sealed under');
select
    is(
        tests.error_of(format('select limena.stale_credentials(1, %L)', l.size)),
        '22023 must be from 1 to 10000; column limit',
        l.name
    )
from (
    values
    (null::integer, 'all at once'), (0, 'none'), (-1, 'fewer than none'), (10001, 'too many')
) as l (size, name);

-- What is replaced.
select is(
    tests.reseal(p_tenant => 'b', p_field => 'code_verifier', p_was => 'something else', p_id => tests.id('flow', 'b')),
    0,
    'no code verifier that has become something else'
);
select is(tests.reseal(p_was => 'something else'), 0, 'nor anything that has');
select is(tests.reseal(p_tenant => 'a', p_id => tests.integration_id('b', 'oidc')), 0, 'nothing of another tenant''s');
select is(
    tests.reseal(p_tenant => 'b', p_id => tests.integration_id('a', 'oidc'), p_was => 'a oidc access_token'), 0,
    'in neither direction'
);
select is(tests.reseal(p_field => 'secret'), 0, 'nothing that is not there');
select is(tests.reseal(p_old_version => 2), 0, 'nothing of another version');
select is(tests.reseal(p_tenant => 'b'), 0, 'nor of that of others');
select
    is(
        tests.sealed(), 'a access_token 1, a refresh_token 1, b access_token 2, b verifier 1', 'none of it did anything'
    );
select is(tests.reseal(), 1, 'what is as it was is replaced');
select is(tests.reseal(), 0, 'once');
select is(
    tests.reseal(p_tenant => 'b', p_field => 'code_verifier', p_was => 'b verifier', p_id => tests.id('flow', 'b')), 1,
    'code verifiers too'
);
select
    is(
        tests.sealed(),
        'a access_token 3 new, a refresh_token 1, b access_token 2, b verifier 3 new',
        'and nothing beside them'
    );
select
    is(
        left(tests.error_of(format('select tests.reseal(p_old_version => %L, p_new_version => %L)', v.old, v.new)), 5),
        v.expected,
        v.name
    )
from (
    values
    (1, 1, '22023', 'the same version'), (1, 0, '22023', 'version 0'), (1, -1, '22023', 'one below'),
    (null, null, '22023', 'no version')
) as v (old, new, expected, name);
select is(
    tests.outcome('select limena.reseal_credentials(1, 3, null, null, null, null, null)'),
    '1',
    'nothing to do is no error'
);
select is(
    limena.reseal_credentials(
        1, 3, array[tests.tenant_id('a')], array[tests.integration_id('a', 'oidc')], '{refresh_token}', '{}', '{}'
    ),
    0,
    'lists of different lengths replace nothing'
);

-- On record: in the platform's log.
select limena.record_master_key_rotation(3);
select limena.record_master_key_rotation(p_key_version => 3, p_resealed => 2, p_unreadable => 1);
select results_eq(
    $$select tests.recorded()$$,
    array['t master_key.rotation_begun 3 {}', 't master_key.rotated 3 {"resealed": 2, "unreadable": 1}'],
    'that it began, and what it did'
);
set local session authorization postgres;
select results_eq(
    $$select l.action, l.actor_label, l.changes -> 'ciphertext'
    from limena.audit_logs as l
    where l.tenant_id = tests.tenant_id('a') and l.action like 'integration_credential%' and l.changes ? 'key_version'
    order by l.seq desc
    limit 1$$,
    $$values ('integration_credential.resealed', 'limena_maintenance', '["[redacted]", "[redacted]"]'::jsonb)$$,
    'and in the tenant''s, without a ciphertext'
);

select * from finish();
rollback;
