-- Attack: be a viewer in tenant a and the owner of tenant c, and change from one context to the other in the middle of
-- a statement, so that the tenant is answered by one and the permission by the other; or change parameters while a
-- query runs.
-- It would work with policies that ask two questions of the context in two sub-selects (each runs when it is first
-- needed) instead of one: limena.tenant_with().
begin;
select plan(21);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'key of a');
select tests.make_api_key(p_tenant => 'b', p_name => 'key of b');
insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
values (tests.tenant_id('a'), 'guest@a.example', 'member', sha256('x'), tests.user_id('a', 'owner'));
-- Mallory: viewer of a, owner of c.
insert into limena.tenants (id, name) values (tests.tenant_id('c'), 'Tenant c');
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('c'), tests.user_id('a', 'viewer'), 'owner');

set local session authorization limena_app;
select set_config('attack.hash', encode(tests.session_hash('a', 'viewer'), 'hex'), true);

-- Entering c while a statement in a's context runs, in each place where it can be written; then the other way round.
select
    is(
        coalesce(
            tests.error_of(
                format(
                    'do $do$ begin perform tests.enter_as(%L, %L); if exists (%s) then raise exception %L; end if; end $do$',  -- noqa: LT05
                    'a',
                    'viewer',
                    s.statement,
                    'stolen'
                )
            ),
            ''
        ),
        '',
        s.statement
    )
from (
    select replace(replace(t.statement, 'ENTER_C', e.enter_c), 'ENTER_A', e.enter_a) as statement
    from (
        values (
            format('limena.enter_session(decode(current_setting(''attack.hash''), ''hex''), %L)', tests.tenant_id('c')),
            format('limena.enter_session(decode(current_setting(''attack.hash''), ''hex''), %L)', tests.tenant_id('a'))
        )
    ) as e (enter_c, enter_a)
    cross join (
        values
        ('select from limena.api_keys where ENTER_C'),
        ('select from (select ENTER_C as e offset 0) as e, limena.api_keys as k where e.e'),
        ('select from limena.tenants as t, limena.api_keys as k where t.id = k.tenant_id and ENTER_C'),
        ('select from limena.memberships as m, limena.api_keys as k where m.user_id is not null and ENTER_C'),
        (
            'select from limena.memberships as m left join lateral (select k.id from limena.api_keys as k where m.user_id is not null and ENTER_C offset 0) as k on true where k.id is not null'  -- noqa: LT05
        ),
        (
            'select from limena.memberships as m where ENTER_C and exists (select from limena.api_keys as k where k.created_at > m.created_at - interval ''1 day'')'  -- noqa: LT05
        ),
        (
            'select from (select t.id, ENTER_C from limena.tenants as t offset 0) as t, limena.api_keys as k where k.tenant_id = t.id'  -- noqa: LT05
        ),
        (
            'select from (select t.id, ENTER_C from limena.tenants as t offset 0) as t, limena.invitations as i where i.tenant_id = t.id'  -- noqa: LT05
        ),
        (
            'select from (select t.id, ENTER_C from limena.tenants as t offset 0) as t, limena.audit_logs as l where l.tenant_id = t.id'  -- noqa: LT05
        ),
        ('select from (select ENTER_C as e, ENTER_A as f offset 0) as e, limena.api_keys as k where e.e and e.f'),
        (
            'with c as materialized (select ENTER_C), k as materialized (select id from limena.api_keys), a as materialized (select ENTER_A) select from c, k, a'  -- noqa: LT05
        ),
        ('select from limena.api_keys as k where k.tenant_id = tests.tenant_id(''a'') and ENTER_C'),
        ('select from limena.audit_logs as l where l.tenant_id = tests.tenant_id(''a'') and ENTER_C')
    ) as t (statement)
) as s;

-- The same with a table that is searched twice: where the first search finds nothing, only the tenant has been asked
-- for; then c is entered, and the second search asks for the permission.
set local enable_hashjoin = off;
set local enable_mergejoin = off;
set local enable_seqscan = off;
set local enable_material = off;
set local enable_memoize = off;
select tests.enter_as('a', 'viewer');
select is(
    (
        with s as materialized (
            select
                case
                    when g.n = 1 then tests.id('nothing', '')
                    when limena.enter_session(decode(current_setting('attack.hash'), 'hex'), tests.tenant_id('c'))
                        then tests.api_key_id('a', 'key of a')
                end as id
            from generate_series(1, 2) as g (n)
        )

        select count(k.name)
        from s
        left join lateral (
            select a.name from limena.api_keys as a
            where a.tenant_id = tests.tenant_id('a') and a.id = s.id
            limit all offset 0  -- noqa: AM09
        ) as k on true
    ), 0::bigint, 'entering c between two searches of one table'
);
reset enable_hashjoin;
reset enable_mergejoin;
reset enable_seqscan;
reset enable_material;
reset enable_memoize;

-- Changing what is there to read, in the middle of a query.
select tests.enter_as('a', 'owner');
select results_eq(
    $$select k.name from limena.api_keys as k where set_config('app.current_tenant_id', tests.tenant_id('b')::text, true) is not null$$,  -- noqa: LT05
    array['key of a'],
    'a tenant set in WHERE changes nothing for the query that runs'
);
select is(tests.loot('a'), '', 'and the next is refused');
select tests.enter_as('a', 'owner');
select is(
    tests.outcome(
        $$select from (select set_config('app.current_tenant_id', tests.tenant_id('b')::text, true) as x offset 0) as s, limena.api_keys where s.x is not null$$  -- noqa: LT05
    ), '42501', 'set before the table is read: refused'
);
select is(
    tests.outcome(
        $$with s as materialized (select set_config('app.context', '{"permissions": ["audit:read"]}', true) as x)
        select from s, limena.audit_logs where s.x is not null$$
    ), '42501', 'so is another context'
);
select is(
    tests.outcome(
        $$select
        from limena.tenants as t, lateral (select set_config('app.seal', '', true) as x, t.id) as s, limena.api_keys as k
        where s.x is not null and k.tenant_id = s.id$$
    ) in ('0', '1', '42501'), true, 'a seal taken away shows a''s row or none'
);
select is(
    tests.outcome(
        $$insert into limena.api_keys (tenant_id, name, prefix, last_four, scopes, key_hash, created_by)
        select tests.tenant_id('b'), set_config('app.current_tenant_id', tests.tenant_id('b')::text, true), 'lmn_abcdef', '0000',
        '{ai:use}', sha256('x'), tests.user_id('a', 'owner')$$
    ), '42501', 'nor is a row written into a tenant that is set by the same statement'
);
select is(
    tests.outcome(
        format(
            'select from limena.create_api_key(%L, %L, %L, %L, sha256(%L)), set_config(%L, %L, true)',
            'x', '{ai:use}', 'lmn_abcdef', '0000', 'y', 'app.current_tenant_id', tests.tenant_id('b')
        )
    ) in ('1', '42501'), true, 'a procedure writes into a or nowhere'
);

select * from finish();
rollback;
