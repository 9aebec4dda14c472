-- limena.revoke_api_key(): who may, and that the next request is refused. Fails without the function.
begin;
select plan(14);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'victim', p_scopes => '{ai:use}');
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{api_keys:write}');
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{api_keys:read}');
select tests.make_api_key(p_tenant => 'b', p_name => 'of b', p_scopes => '{ai:use}');
create temporary table logged as select l.id from limena.audit_logs as l;

-- Who may.
set local role limena_app;
select is(
    tests.outcomes(
        $$select limena.revoke_api_key(tests.api_key_id('a', 'victim'))$$,
        '{nobody, viewer, member, admin, owner, writer, reader}'
    ),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, writer 1, reader 42501',
    'whoever has api_keys:write'
);
select tests.enter_as('a', 'member');
select is(
    tests.error_of($$select limena.revoke_api_key(tests.api_key_id('a', 'victim'))$$),
    '42501 permission denied; detail api_keys:write', 'else it says what is missing'
);

-- Another tenant's key and one that does not exist get the same answer.
select tests.enter_as('a', 'owner');
select is(tests.error_of(format('select limena.revoke_api_key(%L)', w.id)), 'P0002 no such API key', w.description)
from (
    values
    (tests.api_key_id('b', 'of b'), 'another tenant''s key'),
    (tests.id('api key', 'none'), 'one that does not exist'),
    (null, 'none')
) as w (id, description);
select tests.enter_with_key('b', 'of b');
select is(limena.current_tenant_id(), tests.tenant_id('b'), 'the other tenant''s key is as good as before');

-- What comes of it.
select tests.enter_with_key('a', 'victim');
select limena.enter_session(tests.session_hash('a', 'admin'), tests.tenant_id('a'), 'request 1');
select is(
    limena.revoke_api_key(
        tests.api_key_id('a', 'victim')
    ) - 'revoked_at', jsonb_build_object('id', tests.api_key_id('a', 'victim')
    ),
    'a key is revoked'
);
select is(
    tests.error_of($$select tests.enter_with_key('a', 'victim')$$),
    '28000 the API key is not valid',
    'and refused at the very next call'
);
select results_eq(
    $$select k.revoked_at between now() and clock_timestamp() from limena.api_keys as k
    where k.id = tests.api_key_id('a', 'victim')$$,
    array[true], 'revoked when it happened'
);
select set_config('tests.first', limena.revoke_api_key(tests.api_key_id('a', 'victim')) ->> 'revoked_at', true);
select is(
    limena.revoke_api_key(tests.api_key_id('a', 'victim')) ->> 'revoked_at', current_setting('tests.first'),
    'to revoke it again is no error, and does not change when it happened'
);
reset role;
select results_eq(
    $$select
        l.tenant_id, l.action, l.actor_label, l.entity_type, l.entity_id, l.request_id,
        l.changes ->> 'revoked_at' is not null
    from limena.audit_logs as l
    where l.id not in (select g.id from logged as g)$$,
    $$values (
        tests.tenant_id('a'),
        'api_key.revoked',
        'admin@a.example',
        'api_key',
        tests.api_key_id('a', 'victim')::text,
        'request 1',
        true
    )$$,
    'recorded once'
);
select is_empty(
    $$select k.name from limena.api_keys as k
    where k.revoked_at is not null and k.name <> 'victim'$$, 'no other key was touched'
);

-- A key may revoke itself.
set local role limena_app;
select tests.enter_with_key('a', 'writer');
select lives_ok($$select limena.revoke_api_key(tests.api_key_id('a', 'writer'))$$, 'a key revokes itself');
select throws_ok($$select tests.enter_with_key('a', 'writer')$$, '28000', null, 'and is gone');

select * from finish();
rollback;
