-- limena.list_tenant_usage(): the order of each sort, and pages that end between tenants of one value. (Who sees what:
-- api/tests/test_admin.py.) Fails without the tenant's id in the order and in the cursor.
begin;
select plan(35);

-- A clock that stands still: within a minute, within a month for which there are partitions.
create function tests.at(p_after interval)
returns timestamptz
language sql
as $$
select (date_trunc('month', now() at time zone 'UTC') + interval '1 month 10 days 12 hours 30 s') at time zone 'UTC' + p_after
$$;
create or replace function limena.ai_clock()
returns timestamptz
language sql
as $$ select tests.at('0') $$;

-- The names of the tenants on pages of so many: [ab][c].
create function tests.pages_by(p_sort text, p_limit integer)
returns text
language sql
as $$
select regexp_replace(
    tests.pages(format('limena.list_tenant_usage(%L, %%s, %%L)', p_sort), p_limit, 'tenant'),
    '\{"id": "[^"]*", "name": "([^"]*)", "state": "[a-z]*"\} ?', '\1', 'g'
)
$$;

-- Six, whose ids are in the order of their names. Of each sort some have the same value.
insert into limena.tenants (id, name, created_at)
select
    format('a0000000-0000-4000-8000-00000000000%s', t.number)::uuid,
    t.name,
    date_trunc('second', now()) + t.age
from (
    values
    (1, 'A', interval '3 min'), (2, 'B', '3 min 0.4 s'), (3, 'C', '3 min'), (4, 'D', '1 min'), (5, 'E', '5 min'),
    (6, 'F', '3 min')
) as t (number, name, age);
insert into limena.ai_settings (tenant_id, tokens_per_month)
select
    t.id,
    s.tokens
from (values ('A', 1000), ('B', 3000), ('C', 3000), ('D', 300)) as s (name, tokens)
inner join limena.tenants as t on s.name = t.name;
insert into limena.ai_quotas (
    tenant_id, as_of, calls, recent_calls, used_tokens, reserved_tokens, written_off_tokens, expires_at
)
select
    t.id,
    tests.at(q.age),
    array_fill(0, array[60 - q.minute]) || q.calls || array_fill(0, array[q.minute]),
    q.calls,
    q.used,
    q.reserved,
    q.written_off,
    tests.at(q.expires_in)
from (
    values
    -- 200 tokens, 20 %: seven calls of the oldest minute that counts; another one has none of them left.
    ('A', interval '-1 min', 1, 7, 200, 0, 0, null),
    ('B', interval '-1 min', 0, 9, 100, 100, 0, interval '1 min'),
    -- 200 of 3000, like B: what is overdue is free, what is written off does not count.
    ('C', interval '-20 s', 0, 7, 250, 300, 50, interval '-1 s'),
    ('D', interval '-61 min', 60, 9, 60, 0, 0, null),
    -- Of a month that has passed.
    ('E', interval '-30 days', 60, 9, 999, 0, 0, null)
) as q (name, age, minute, calls, used, reserved, written_off, expires_in)
inner join limena.tenants as t on q.name = t.name;
insert into limena.ai_reservations (
    tenant_id, id, actor_type, actor_id, model, estimated_tokens, created_at, expires_at
)
select
    t.id,
    tests.id('reservation', 'C'),
    'user',
    tests.user_id('a', 'owner'),
    'm',
    300,
    tests.at('-11 min'),
    tests.at('-1 s')
from limena.tenants as t
where t.name = 'C';

-- What is deleted, and the platform's own, are not on the list.
insert into limena.tenants (name, state) values ('G', 'deleted');
select is(
    (
        select string_agg(t.name, '' order by t.name)
        from limena.tenants as t
        where t.id <> limena_private.platform_tenant_id() and t.state <> 'deleted'
    ),
    'ABCDEF', 'these are all'
);

select is(tests.pages_by(s.sort, 200), s.names, 'by ' || s.sort)
from (
    values ('tokens', '[CBADFE]'), ('percent', '[DACBFE]'), ('calls', '[CAFEDB]'), ('created', '[EFCBAD]')
) as s (sort, names);
select
    is(
        limena.list_tenant_usage(p_limit => 200)::text,
        limena.list_tenant_usage('tokens', 200)::text,
        'tokens unless told'
    );

-- However long a page is, each tenant is on one, in the same order, and none is empty but of an empty list.
select
    is(
        regexp_replace(tests.pages_by(s.sort, n.number), '\]\[', '', 'g'), tests.pages_by(s.sort, 200),
        format('by %s, %s a page', s.sort, n.number)
    )
from unnest(array['tokens', 'percent', 'calls', 'created']) as s (sort)
cross join generate_series(1, 6) as n (number);
select is(tests.pages_by('tokens', 6), '[CBADFE]', 'a last page that is full has no next');

-- What is told of one.
select is(
    (limena.list_tenant_usage('tokens', 1) -> 'items' -> 0)::jsonb,
    jsonb_build_object(
        'tenant', jsonb_build_object('id', 'a0000000-0000-4000-8000-000000000003', 'name', 'C', 'state', 'active'),
        'calls', '{"limit": 500, "used": 7}'::jsonb,
        'tokens', '{"limit": 3000, "used": 200, "reserved": 0, "percent": 6.67}'::jsonb,
        'trip', null, 'is_enabled', true, 'is_allowed', true, 'days', '[]'::jsonb, 'acts', '[]'::jsonb
    ),
    'a tenant'
);
update limena.ai_quotas as q
set trip_cause = 'velocity', tripped_at = tests.at('-1 min'), trip_ends_at = tests.at(v.ends_in)
from (values ('B', interval '5 min'), ('C', interval '0')) as v (name, ends_in)
inner join limena.tenants as t on v.name = t.name
where q.tenant_id = t.id;
select is(
    (
        select jsonb_agg(i.item -> 'trip' order by i.place)
        from
            jsonb_array_elements(limena.list_tenant_usage('tokens', 2)::jsonb -> 'items') with ordinality
                as i (item, place)
    ),
    jsonb_build_array(
        null,
        jsonb_build_object('cause', 'velocity', 'tripped_at', tests.at('-1 min'), 'ends_at', tests.at('5 min'))
    ),
    'a trip for as long as it lasts'
);
insert into limena.ai_usage_days (
    tenant_id, day, actor_type, actor_id, model, outcome, calls, prompt_tokens, completion_tokens, latency_ms
)
select
    t.id,
    (tests.at('0') at time zone 'UTC')::date - d.ago,
    'user',
    t.id as actor_id,
    'm',
    'succeeded',
    1,
    10,
    1,
    1
from limena.tenants as t
cross join unnest(array[0, 29, 30]) as d (ago)
where t.name in ('B', 'C');
select is(
    (
        select
            jsonb_agg(
                jsonb_build_array(i.item #>> '{tenant,name}', jsonb_array_length(i.item -> 'days')) order by i.place
            )
        from
            jsonb_array_elements(limena.list_tenant_usage('tokens', 3)::jsonb -> 'items') with ordinality
                as i (item, place)
    ),
    '[["C", 2], ["B", 2], ["A", 0]]'::jsonb, 'thirty days of each'
);
select is(
    (
        select jsonb_agg(d.day - 'day' order by d.place)
        from
            jsonb_array_elements(limena.list_tenant_usage(p_trend => true)::jsonb -> 'days') with ordinality
                as d (day, place)
    ),
    '[{"calls": 2, "tokens": 22}, {"calls": 2, "tokens": 22}]'::jsonb, 'and of all together, for who asks'
);

select * from finish();
rollback;
