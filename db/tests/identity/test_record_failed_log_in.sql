-- limena.record_failed_log_in(): a failure leaves its trace with whom it concerns. Fails without the function.
begin;
select plan(5);

select tests.make_tenants();
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer');
insert into limena.users (id, email, display_name, password_hash)
values (tests.id('user', 'loner'), 'loner@x.example', 'Loner', '$2b$04$' || repeat('.', 53));
create temporary table logged as select l.id from limena.audit_logs as l;

set local role limena_auth;
select limena.record_failed_log_in(' OWNER@a.example', 'request 1', '192.0.2.1', 'agent 1');
select limena.record_failed_log_in('loner@x.example', 'request 2');
select limena.record_failed_log_in('marked password', 'request 3', '192.0.2.3');
select limena.record_failed_log_in(null, 'request 4');

reset role;
select results_eq(
    $$select to_jsonb(l) - '{id, occurred_at, seq, who_salt, changes_salt, on_behalf_of_id, on_behalf_of_label}'::text[]
    from limena.audit_logs as l
    where l.id not in (select g.id from logged as g)
    order by l.request_id, l.tenant_id = tests.tenant_id('b')$$,
    array(
        select
            jsonb_build_object(
                'tenant_id', e.tenant_id, 'action', 'session.login_failed', 'actor_type', 'system', 'actor_id', null,
                'actor_label',
                'unauthenticated',
                'entity_type',
                case when e.user_id is not null then 'user' end,
                'entity_id',
                e.user_id,
                'changes',
                '{}'::jsonb,
                'details',
                '{}'::jsonb,
                'request_id',
                e.request_id,
                'ip',
                e.ip,
                'user_agent',
                e.user_agent
            )
        from (
            values
            (tests.tenant_id('a'), tests.user_id('a', 'owner'), 'request 1', '192.0.2.1', 'agent 1'),
            (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'request 1', '192.0.2.1', 'agent 1'),
            ('00000000-0000-4000-8000-000000000000', tests.id('user', 'loner'), 'request 2', null, null),
            ('00000000-0000-4000-8000-000000000000', null, 'request 3', '192.0.2.3', null),
            ('00000000-0000-4000-8000-000000000000', null, 'request 4', null, null)
        ) as e (tenant_id, user_id, request_id, ip, user_agent)
    ),
    'in each of the person''s tenants; of who is in none, or unknown, in the platform''s log'
);
select is_empty(
    $$select l.id from limena.audit_logs as l where l::text like '%marked password%'$$,
    'an unknown address is not written down: people type passwords into the wrong field'
);

set local role limena_app;
select is(limena.current_tenant_id(), null, 'no tenant is entered by it');
select is(limena.current_user_id(), null, 'and nobody acts');
select is(limena.current_permissions(), '{}', 'with any permission');

select * from finish();
rollback;
