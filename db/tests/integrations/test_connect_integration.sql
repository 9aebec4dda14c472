-- limena.prepare_integration(), connect_integration(), disconnect_integration(), record_revocation(),
-- read_integrations().
begin;
select plan(37);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'user', p_scopes => '{integrations:use}');
select tests.make_api_key(
    p_tenant => 'a', p_name => 'writer', p_scopes => '{integrations:write}', p_creator => 'admin'
);

create function pg_temp.connecting(p_id uuid, p_provider text default 'openai', p_label text default 'Mine')
returns text
language sql
as $$
select format(
    'select limena.connect_integration(p_provider => %L, p_integration_id => %L, p_key_version => 1, p_label => %L,'
    ' p_secret => %L)', p_provider, p_id, p_label, tests.ciphertext('connected')
)
$$;

create temporary table prepared (first jsonb, second jsonb);
grant select, insert on prepared to public;
create temporary table gone (told jsonb);
grant select, insert on gone to public;
create function pg_temp.recording(p_revocation text, p_after interval default '0')
returns text
language sql
as $$
select format(
    'select limena.record_revocation(%L, %L, %L)', g.told ->> 'id',
    (g.told ->> 'disconnected_at')::timestamptz + p_after, p_revocation
) from gone as g
$$;

insert into limena_private.tenant_salts (tenant_id, salt) values (tests.tenant_id('a'), sha256('a'));
set local role limena_app;
select is(
    tests.outcomes(
        'select limena.prepare_integration(''openai'')', '{nobody, viewer, member, admin, owner, user, writer}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, user 42501, writer 1',
    'integrations:write prepares'
);
select is(
    tests.outcomes(
        pg_temp.connecting(tests.id('integration', 'new')), '{nobody, viewer, member, admin, owner, user, writer}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, user 42501, writer 1',
    'and connects'
);
select is(
    tests.outcomes(
        'select limena.disconnect_integration(''openai'')', '{nobody, viewer, member, user, admin, owner}'
    ),
    'nobody 42501, viewer 42501, member 42501, user 42501, admin P0002, owner P0002',
    'and disconnects: what is connected'
);
select is(
    tests.outcomes('select limena.read_integrations(''integrations:read'')', '{nobody, viewer, member, user, writer}'),
    'nobody 42501, viewer 1, member 1, user 42501, writer 42501',
    'each reads with the permission that they say'
);
select is(
    tests.outcomes('select limena.read_integrations(''integrations:use'')', '{nobody, viewer, member, user, writer}'),
    'nobody 42501, viewer 42501, member 1, user 1, writer 42501',
    'and hold'
);

-- Prepared twice: one salt. The id is a new one until something is connected.
select tests.enter_as('a', 'admin');
insert into prepared (first, second)
select
    limena.prepare_integration('openai'),
    limena.prepare_integration('openai');
select is(p.first ->> 'salt', p.second ->> 'salt', 'a tenant has one salt') from prepared as p;
select is(length(p.first ->> 'salt'), 64, 'of 32 bytes') from prepared as p;
select is(p.first ->> 'tenant_id', tests.tenant_id('a')::text, 'and the context''s tenant') from prepared as p;
select isnt(p.first ->> 'integration_id', p.second ->> 'integration_id', 'nothing is taken by preparing')
from prepared as p;

select is(
    limena.connect_integration(
        p_provider => 'openai',
        p_integration_id => tests.id('integration', 'new'),
        p_key_version => 1,
        p_label => 'Mine',
        p_secret => tests.ciphertext('connected')
    ) - 'connected_at',
    jsonb_build_object(
        'id',
        tests.id('integration', 'new'),
        'provider',
        'openai',
        'state',
        'connected',
        'label',
        'Mine',
        'base_url',
        null,
        'scopes', null, 'connected_by', tests.user_id('a', 'admin'), 'failed_at', null, 'expires_at', null
    ),
    'what is connected is told, without a ciphertext'
);
select is(
    limena.prepare_integration('openai') ->> 'integration_id',
    tests.id('integration', 'new')::text,
    'connected anew, it keeps its id'
);
select is(
    tests.error_of(pg_temp.connecting(tests.id('integration', 'another'))),
    '23505 the provider was connected at the same moment',
    'nobody stores what was sealed for another id'
);
select is(
    (limena.read_integrations('integrations:write') -> 'items' -> 0 -> 'credentials')::jsonb,
    jsonb_build_array(
        jsonb_build_object(
            'field', 'secret', 'key_version', 1, 'ciphertext', encode(tests.ciphertext('connected'), 'hex')
        )
    ),
    'the API gets the ciphertext'
);
select
    is(
        left(tests.error_of(pg_temp.connecting(tests.id('integration', 'new'), 'openai', s.label)), 5),
        '23514',
        'a label: ' || s.name
    )
from
    (values (' x', 'a space'), (e'a\nb', 'a line end'), (repeat('x', 101), 'too long'), ('', 'none'))
        as s (label, name);

-- With tokens in the place of a key; a refresh that is under way loses its lease.
set local role limena_owner;
update limena.integrations set refresh_leased_until = now() + interval '1 minute'
where provider = 'openai';
set local role limena_app;
select limena.connect_integration(
    p_provider => 'openai',
    p_integration_id => tests.id('integration', 'new'),
    p_key_version => 2,
    p_scopes => 'a b',
    p_access_token => tests.ciphertext('access'),
    p_refresh_token => tests.ciphertext('refresh'),
    p_expires_in => 3600
);
select results_eq(
    $$select c.field, c.key_version, c.expires_at between now() + interval '59 min' and now() + interval '61 min'
    from limena.integration_credentials as c order by c.field$$,
    $$values ('access_token', 2, true), ('refresh_token', 2, null)$$,
    'what was there is replaced'
);
select is(i.refresh_leased_until, null, 'and the lease gone') from limena.integrations as i;

-- Disconnected: the credentials are gone, the row and its id stay; what was stored is told once more.
insert into gone (told) select limena.disconnect_integration('openai');
select is(
    (
        select jsonb_object_agg(c.value ->> 'field', c.value ->> 'ciphertext')
        from gone as g, jsonb_array_elements(g.told -> 'credentials') as c
    ),
    jsonb_build_object(
        'access_token', encode(tests.ciphertext('access'), 'hex'),
        'refresh_token', encode(tests.ciphertext('refresh'), 'hex')
    ),
    'what is to be revoked is handed out'
);
select is_empty('select field from limena.integration_credentials', 'no credential is left');
select results_eq(
    'select i.revocation, i.label, i.scopes from limena.integrations as i',
    $$values (null::text, null::text, null::text)$$,
    'what the provider says is not known yet'
);
select is(
    tests.outcomes(pg_temp.recording('done'), '{nobody, viewer, member, user, admin, owner, writer}'),
    'nobody 42501, viewer 42501, member 42501, user 42501, admin 1, owner 1, writer 1',
    'integrations:write says what became of it'
);
select tests.enter_as('b', 'owner');
select is(left(tests.error_of(pg_temp.recording('done')), 5), 'P0002', 'in its own tenant');
select tests.enter_as('a', 'admin');
select is(left(tests.error_of(pg_temp.recording('gladly')), 5), '23514', 'out of a list');
select is(left(tests.error_of(pg_temp.recording('done', '1 s')), 5), 'P0002', 'of that disconnection');
select lives_ok(pg_temp.recording('done'), 'and once');
select is(left(tests.error_of(pg_temp.recording('refused')), 5), 'P0002', 'not again');
select is(i.revocation, 'done', 'it is on record') from limena.integrations as i;
select is(
    (limena.read_integrations('integrations:read') -> 'items')::jsonb, '[]'::jsonb, 'it is connected no more'
);
select is(
    tests.error_of('select limena.disconnect_integration(''openai'')'), 'P0002 not connected', 'nor again'
);
select is(
    limena.prepare_integration('openai') ->> 'integration_id', tests.id('integration', 'new')::text, 'its id waits'
);

-- Fifty a tenant, disconnected ones too.
select tests.enter_as('b', 'owner');
select is(
    left(tests.error_of(pg_temp.connecting(gen_random_uuid(), 'x')), 5), '22023', 'nothing is connected unprepared'
);
select limena.prepare_integration('x') is null as is_prepared;
select
    count(
        limena.connect_integration(
            'x' || n.n, tests.id('integration', 'x' || n.n), 1, p_secret => tests.ciphertext('x' || n.n)
        )
    ) as connected
from generate_series(1, 50) as n (n);
select is(
    tests.error_of(pg_temp.connecting(gen_random_uuid(), 'x51')),
    'LM002 A tenant has 50 integrations at most.',
    'a tenant has so many'
);
select is(
    tests.outcome(pg_temp.connecting(tests.id('integration', 'x7'), 'x7')), '1', 'and each of them is connected anew'
);

-- A deleted tenant's salt: nothing opens, and another tenant's stays.
select tests.leave();
set local role postgres;
select limena_private.destroy_tenant_salt(tests.tenant_id('a'));
select limena_private.destroy_tenant_salt(tests.tenant_id('a'));
select results_eq(
    'select s.tenant_id from limena_private.tenant_salts as s',
    $$select tests.tenant_id('b')$$,
    'the salt is destroyed, and no other'
);
select results_eq(
    $$select l.action, count(*) from limena.audit_logs as l
    where l.tenant_id = tests.tenant_id('a') and (l.action like 'integration.%' or l.action like '%salt%')
    group by l.action order by l.action collate "C"$$,
    $$values
        ('integration.connected', 2::bigint), ('integration.created', 1), ('integration.disconnected', 1),
        ('integration.revocation_recorded', 1),
        ('tenant.salt_destroyed', 1)$$,
    'each of them is in the log, once'
);

select * from finish();
rollback;
