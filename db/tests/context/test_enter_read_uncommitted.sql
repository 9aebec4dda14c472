-- A context is entered under READ COMMITTED alone. In an older snapshot a credential that was revoked since would still
-- be good. Fails without the first check of enter_session() and enter_api_key().
begin;
set local transaction_isolation = 'read uncommitted';
select plan(6);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');

set local role limena_app;
select is(
    tests.error_of(
        format('select limena.enter_session(%L, %L)', tests.session_hash('a', 'owner'), tests.tenant_id('a'))
    ),
    '25001 a context is entered under READ COMMITTED only', 'not with a session'
);
select is(
    tests.error_of(format('select limena.enter_session(%L, null)', tests.session_hash('a', 'owner'))),
    '25001 a context is entered under READ COMMITTED only', 'not without a tenant'
);
select is(
    tests.error_of(format('select limena.enter_api_key(%L)', tests.key_hash('a'))),
    '25001 a context is entered under READ COMMITTED only', 'not with a key'
);
select is(
    tests.error_of($$select limena.enter_api_key('\x00')$$), '25001 a context is entered under READ COMMITTED only',
    'a bad key gets no other answer'
);
select is(limena.current_tenant_id(), null, 'there is no context');
select is(tests.outcome('select id from limena.tenants'), '0', 'and there are no rows');

select * from finish();
rollback;
