-- Attack: let an expression of one's own run over rows before the policy has hidden them, and learn from its error or
-- its side effect. No function can be made, so PostgreSQL's own have to do: casts, division, set_config(),
-- query_to_xml().
-- It would work without policies as row-level security (a WHERE in a procedure or a view is no barrier), or if someone
-- declared such a function LEAKPROOF.
begin;
select plan(33);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => '1', p_scopes => '{ai:use}');
select tests.make_api_key(p_tenant => 'b', p_name => 'marked-b');
insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
select
    tests.tenant_id(t.name),
    'guest@' || t.name || '.example',
    'member',
    sha256(t.name::bytea),
    tests.user_id(t.name, 'owner')
from (values ('a'), ('b')) as t (name);

set local session authorization limena_app;
select tests.enter_as('a', 'owner');

-- 1. Errors. Each of these would fail on a row of b's, and some would tell its value.
select is(tests.error_of(s.statement), null, 'does not fail on b''s rows: ' || s.statement)
from (
    values
    ('select from limena.api_keys where name::integer = 1'),
    ('select from limena.api_keys where 1 / (char_length(name) - char_length(''marked-b'')) = 0'),
    ('select from limena.api_keys where cast(name as jsonb) is null'),
    ('select from limena.api_keys where ('' '' || name)::numeric > 0 order by name::integer'),
    ('select from limena.tenants where 1 / (ascii(right(name, 1)) - ascii(''b'')) = 0'),
    ('select from limena.memberships where 1 / (case when tenant_id = tests.tenant_id(''b'') then 0 else 1 end) = 0'),
    (
        'select from limena.find_people((select array_agg(user_id) from limena.memberships)) where 1 / (position(''@b.example'' in email) - 6) = 5'  -- noqa: LT05
    ),
    ('select from limena.invitations where 1 / (char_length(split_part(email, ''@b'', 2)) - 8) = 5'),
    ('select from limena.audit_logs where 1 / (case when tenant_id <> tests.tenant_id(''a'') then 0 else 1 end) = 0'),
    ('update limena.invitations set withdrawn_at = null where 1 / (char_length(split_part(email, ''@b'', 2)) - 8) = 5'),
    ('select from limena.api_keys as k join (values (1)) as v (x) on k.name::integer = v.x'),
    ('select from limena.api_keys where array[name::integer] && array[1]'),
    ('select count(*) filter (where name::integer = 1) from limena.api_keys'),
    (
        'select from limena.api_keys where exists (select from limena.tenants as t where (t.name || name)::text like ''%a1'')'  -- noqa: LT05
    )
) as s (statement);
select
    is(
        tests.error_of('select 1 / (char_length(name) - 1) from limena.api_keys'),
        '22012 division by zero',
        'on a''s own rows it fails'
    );

-- 2. Side effects. set_config() is a leaky function that everyone has: it writes down each value that it is shown.
select set_config('attack.seen', '', false);
select count(*)
from limena.api_keys as k
where set_config('attack.seen', current_setting('attack.seen') || ',' || k.name, false) is not null;
select is(current_setting('attack.seen'), ',1', 'api_keys: a filter is shown a''s rows alone');
select set_config('attack.seen', '', false);
select count(*)
from limena.tenants as t
where set_config('attack.seen', current_setting('attack.seen') || ',' || t.name, false) is not null;
select is(current_setting('attack.seen'), ',Tenant a', 'tenants: a filter is shown a''s row alone');
select set_config('attack.seen', '', false);
select count(*)
from limena.invitations as i
where set_config('attack.seen', current_setting('attack.seen') || i.email, false) is not null;
select is(current_setting('attack.seen'), 'guest@a.example', 'invitations: a filter is shown a''s row alone');
select set_config('attack.seen', '', false);
select count(*)
from limena.memberships as m
where set_config('attack.seen', current_setting('attack.seen') || m.tenant_id, false) is not null;
select
    ok(
        position(tests.tenant_id('b')::text in current_setting('attack.seen')) = 0,
        'memberships: a filter is shown nobody of b'
    );
select set_config('attack.seen', '', false);
select count(*)
from limena.audit_logs as l
where set_config('attack.seen', current_setting('attack.seen') || l.tenant_id || l.actor_label, false) is not null;
select
    ok(
        position(tests.tenant_id('b')::text in current_setting('attack.seen')) = 0,
        'audit_logs: a filter is shown no event of b'
    );
select set_config('attack.seen', '', false);
select count(*)
from limena.api_key_uses as u
where set_config('attack.seen', current_setting('attack.seen') || u.tenant_id, false) is not null;
select is(current_setting('attack.seen'), tests.tenant_id('a')::text, 'api_key_uses: a filter is shown a''s row alone');
select set_config('attack.seen', '', false);
select max(k.name order by set_config('attack.seen', current_setting('attack.seen') || ',' || k.name, false))
from limena.api_keys as k;
select is(current_setting('attack.seen'), ',1', 'an aggregate''s order is shown a''s rows alone');
select set_config('attack.seen', '', false);
select count(*)
from limena.tenants  -- noqa: ST11
left join
    limena.api_keys as k  -- noqa: ST11
    on set_config('attack.seen', current_setting('attack.seen') || ',' || k.name, false) is not null;
select is(current_setting('attack.seen'), ',1', 'a join''s condition is shown a''s rows alone');
select set_config('attack.seen', '', false);
select count(*) from limena.api_keys as k tablesample bernoulli (100)
where set_config('attack.seen', current_setting('attack.seen') || ',' || k.name, false) is not null;
select is(current_setting('attack.seen'), ',1', 'a sample is shown a''s rows alone');

-- 3. Functions that run a query of one's own run it as oneself. (Divides by zero if it shows anything of b; a server
-- without XML refuses.)
select
    isnt(
        left(
            tests.error_of(
                format(
                    'select 1 / (case when %s::text ~ %L then 0 else 1 end)',
                    q.call,
                    'marked-b|@b.example|' || tests.tenant_id('b')
                )
            ), 5
        ), '22012', q.call || ' runs as its caller'
    )
from (
    values
    ('query_to_xml(''select * from limena.memberships'', true, false, '''')'),
    ('query_to_xml(''select name, tenant_id from limena.api_keys'', true, false, '''')'),
    ('table_to_xml(''limena.memberships'', true, false, '''')'),
    ('schema_to_xml(''limena'', true, false, '''')'),
    ('database_to_xml(true, false, '''')'),
    ('(select string_agg(t.word, '' '') from ts_stat(''select to_tsvector(name) from limena.api_keys'') as t)'),
    (
        'ts_rewrite(''x'', ''select ''''x''''::tsquery, to_tsquery(quote_literal(name)) from limena.api_keys where name !~ ''''[0-9]'''''')'  -- noqa: LT05
    )
) as q (call);
select is(
    tests.error_of(
        $$select 1 / (case when (select string_agg(name, ' ') from limena.api_keys)::text ~ '1' then 0 else 1 end)$$
    ),
    '22012 division by zero', 'on a''s own rows that shows'
);

-- 4. Nothing of the product is declared LEAKPROOF, and nothing of PostgreSQL's that should not be.
select is(
    array(
        select p.oid::regprocedure::text
        from pg_proc as p
        where p.proleakproof and p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
    ),
    '{}',
    'no function of Limena is LEAKPROOF'
);

select * from finish();
rollback;
