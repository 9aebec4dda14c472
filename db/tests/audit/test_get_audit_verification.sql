-- limena.get_audit_verification(), sealed_tenants() and check_audit_log(): who asks about which log, page by page, and
-- what is found. How the log can be altered, way by way: api/tests/test_sealing.py. Fails without audit:read, or
-- without the tenant.
begin;
select plan(22);

select tests.seal();
select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{audit:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{api_keys:read}');
select tests.seal();
update limena.tenants set name = 'Tenant a once more'
where id = tests.tenant_id('a');
select tests.seal();

-- 'intact seals rows next' of a page.
create function tests.verified(p_limit integer default 10, p_after text default null)
returns text
language sql
as $$
select concat_ws(
    ' ',
    case when (v.page ->> 'intact')::boolean then 'intact' end,
    v.page ->> 'checked_seals',
    (v.page ->> 'checked_rows')::integer > 0,
    v.page ->> 'next',
    (select string_agg(distinct f.finding ->> 'kind', ', ') from jsonb_array_elements(v.page -> 'findings') as f (finding))
)
from limena.get_audit_verification(p_limit, p_after) as v (page)
$$;

-- Who.
set local session authorization limena_app;
select is(
    tests.outcomes('select limena.get_audit_verification()', '{nobody, viewer, member, admin, owner, reader, other}'),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, reader 1, other 42501', 'audit:read verifies'
);
select
    is(
        tests.outcomes(s.statement), 'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501', s.statement
    )
from (values ('select limena.sealed_tenants()'), ('select limena.check_audit_log()')) as s (statement);
set local session authorization limena_readonly;
select is(tests.outcome(s.statement), '42501', 'nor an operator: ' || s.statement)
from (
    values
    ('select limena.get_audit_verification()'), ('select limena.sealed_tenants()'), ('select limena.check_audit_log()')
) as s (statement);

-- Page by page.
set local session authorization limena_app;
select tests.enter_as('a', 'owner');
select is(tests.verified(), 'intact 2 t', 'two seals, and nothing found');
select is(tests.verified(1), 'intact 1 t 1', 'one of them, and there is another one');
select is(tests.verified(1, '1'), 'intact 1 t', 'which is the last');
select is(tests.verified(1, '999999999'), 'intact 0 f', 'after which there is none');
select
    is(
        left(tests.error_of(format('select limena.get_audit_verification(%L, %L)', s.size, s.after)), 5),
        '22023',
        s.name
    )
from (
    values
    (0, null, 'no seal'), (51, null, 'more than 50'), (null, null, 'all'), (1, '-1', 'a number below'), (1, '', 'none'),
    (1, '1000000000', 'a number that is too large')
) as s (size, after, name);

-- Found.
set local session authorization postgres;
alter table limena.audit_logs disable trigger user;
update limena.audit_logs set action = 'tenant.frozen'
where tenant_id = tests.tenant_id('b') and action = 'tenant.created';
set local session authorization limena_app;
select tests.enter_as('a', 'owner');
select is(tests.verified(), 'intact 2 t', 'what happened to another tenant''s log is not told');
select tests.enter_as('b', 'owner');
select is(tests.verified(), '1 t row altered', 'the tenant itself is');
set local session authorization limena_maintenance;
select matches(
    (select string_agg(c.finding, '; ') from limena.check_audit_log() as c (finding)),
    '^tenant ' || tests.tenant_id('b') || ': row altered', 'and maintenance, of whichever tenant'
);
select is(
    array(
        select concat_ws(' ', right(t.tenant_id::text, 4) = '0000', s.seals)
        from limena.sealed_tenants() as s
        inner join (values (tests.tenant_id('a')), (tests.tenant_id('b'))) as t (tenant_id) on s.tenant_id = t.tenant_id
        order by s.seals
    ),
    '{f 1, f 2}', 'which has how many seals of each'
);
set local session authorization postgres;
delete from limena.audit_seals
where tenant_id = tests.tenant_id('b');
set local session authorization limena_maintenance;
select matches(
    (select string_agg(c.finding, '; ') from limena.check_audit_log() as c (finding)),
    'tenant ' || tests.tenant_id('b') || ': seal 1 is not there', 'a seal that somebody took away is missed'
);
set local session authorization limena_app;
select tests.enter_as('a', 'owner');
select is(tests.verified(), 'intact 2 t', 'by that tenant alone');

select * from finish();
rollback;
