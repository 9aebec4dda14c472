-- limena.announcements() and what list_audit_logs() makes of it: an operator's access to all stands once, in the
-- platform's log, and every tenant reads it in its own. Fails without announcements(), or where it shows more.
begin;
select plan(9);

select tests.make_tenants();
update limena.tenants set created_at = now() - interval '1 day'
where id in (tests.tenant_id('a'), tests.tenant_id('b'));
insert into limena.audit_logs (
    tenant_id, occurred_at, seq, id, action, actor_type, actor_label, details, ip, request_id
)
values
(
    limena_private.platform_tenant_id(),
    now() - interval '1 hour',
    1,
    tests.id('row', 'all'),
    'operator.all_access_opened',
    'operator', 'grace', '{"reason": "review"}', '192.0.2.9', 'request 9'
),
(
    limena_private.platform_tenant_id(), now() - interval '1 hour', 2, tests.id('row', 'one'), 'operator.access_opened',
    'operator', 'grace', '{"reason": "the platform alone"}', null, null
);
create function pg_temp.listed(p_action text default null, p_limit integer default 200)
returns setof text
language sql
as $$
select i.item ->> 'id'
from jsonb_array_elements(limena.list_audit_logs(p_action => p_action, p_limit => p_limit)::jsonb -> 'items') as i (item)
$$;

set local role limena_app;
select is_empty('select * from limena.announcements()', 'nobody is told nothing');
select tests.enter_as('a', 'member');
select is_empty('select * from limena.announcements()', 'nor is who may not read the log');
select tests.enter_as('a', 'admin');
select results_eq(
    $$select a.id, a.actor_label, a.details ->> 'reason', a.ip, a.request_id, a.tenant_id
    from limena.announcements() as a$$,
    $$values (
        tests.id('row', 'all'), 'grace', 'review', null::inet, null::text, tests.tenant_id('a')
    )$$,
    'who may, reads who, why and when; not from where, and nothing else of the platform'
);
select results_eq(
    $$select pg_temp.listed('operator.all_access_opened')$$,
    $$values (tests.id('row', 'all')::text)$$,
    'in the list, too'
);
select ok(
    (select count(*) > 1 and bool_or(l = tests.id('row', 'all')::text) from pg_temp.listed() as l),
    'among the tenant''s own'
);
select is(
    (
        with recursive pages as (
            select limena.list_audit_logs(p_limit => 3)::jsonb as page
            union all
            select limena.list_audit_logs(p_limit => 3, p_after => p.page ->> 'next')::jsonb
            from pages as p
            where p.page ->> 'next' is not null
        )

        select array_agg(i.item ->> 'id')
        from pages as p
        cross join lateral jsonb_array_elements(p.page -> 'items') as i (item)
    ),
    (select array_agg(l) from pg_temp.listed() as l),
    'page by page as at once'
);
select tests.enter_as('b', 'owner');
select results_eq(
    $$select pg_temp.listed('operator.all_access_opened')$$, $$values (tests.id('row', 'all')::text)$$, 'every tenant'
);
reset role;
update limena.tenants set created_at = now()
where id = tests.tenant_id('b');
set local role limena_app;
select tests.enter_as('b', 'owner');
select is_empty('select * from limena.announcements()', 'nothing from before there was the tenant');
set local role limena_readonly;
select is_empty('select * from limena.announcements()', 'limena_readonly, which may call it, gets no row');

select * from finish();
rollback;
