-- limena.list_audit_logs(): who is told of what, filtered and page by page. Fails without the function.
begin;
select plan(51);

set local timezone = 'UTC';
select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{audit:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{audit:export}');

-- A log of our own making, in place of what the fixtures wrote: ten rows in a, of which four of one moment, and one in
-- b.
truncate limena.audit_logs;
create function pg_temp.event(
    p_tenant text, p_seq bigint, p_at timestamptz, p_action text default 'thing.created', p_actor text default 'owner',
    p_entity_type text default 'thing', p_entity_id text default 'x'
)
returns void
language sql
as $$
insert into limena.audit_logs (
    tenant_id,
    occurred_at,
    seq,
    id,
    action,
    actor_type,
    actor_id,
    actor_label,
    entity_type,
    entity_id,
    changes,
    details,
    request_id,
    ip,
    user_agent
)
values (
    tests.tenant_id(
        p_tenant), p_at, p_seq, tests.id('event',
        p_tenant || ' ' || p_seq), p_action, 'user', tests.user_id(p_tenant,
        p_actor
    ),
    p_actor || '@' || p_tenant,
    p_entity_type,
    p_entity_id,
    '{"name": [null, "x"]}',
    '{"reason": "y"}',
    'request 1',
    '192.0.2.1/24',
    'agent 1'
)
$$;
select pg_temp.event('a', e.seq, date_trunc('month', now()) + e.age, e.action, e.actor, e.entity_type, e.entity_id)
from (
    values
    (1, interval '0', 'thing.created', 'owner', 'thing', 'one'),
    (2, '1 second', 'thing.created', 'owner', 'thing', 'two'),
    (3, '2 seconds', 'thing.updated', 'admin', 'thing', 'one'),
    (4, '3 seconds', 'part.created', 'admin', 'part', 'one'),
    (9, '4 seconds', 'part.created', 'owner', 'part', 'two'),
    (10, '4 seconds', 'part.created', 'owner', 'part', 'three'),
    (11, '4 seconds', 'part.deleted', 'owner', 'part', 'two'),
    (100, '4 seconds', 'part.deleted', 'admin', 'part', 'one'),
    (8, '5 seconds', 'access.denied', 'viewer', null, null),
    -- In the next partition.
    (12, '31 days 12 hours', 'thing.deleted', 'owner', 'thing', 'one')
) as e (seq, age, action, actor, entity_type, entity_id);
select pg_temp.event('b', 50, date_trunc('month', now()) + interval '4 seconds');

-- The seqs of the rows that a call answers with, in its order.
create function pg_temp.listed(p_arguments text)
returns text
language plpgsql
as $$
declare
    v_page jsonb;
    v_line text;
begin
    execute format('select limena.list_audit_logs(%s)', p_arguments) into v_page;
    select string_agg(coalesce(l.seq::text, '?'), ' ' order by i.place) into v_line
    from jsonb_array_elements(v_page -> 'items') with ordinality as i (item, place)
    left join limena.audit_logs as l on (i.item ->> 'id')::uuid = l.id;
    return coalesce(v_line, '');
end;
$$;

set local role limena_app;
select tests.enter_as('a', 'admin');
select is(
    (limena.list_audit_logs()::jsonb #> '{items, 9}'),
    jsonb_build_object(
        'id',
        tests.id('event', 'a 1'),
        'occurred_at',
        date_trunc('month', now()),
        'action',
        'thing.created',
        'actor_type',
        'user',
        'actor_id',
        tests.user_id('a', 'owner'),
        'actor_label',
        'owner@a',
        'on_behalf_of_id',
        null,
        'on_behalf_of_label',
        null,
        'entity_type',
        'thing',
        'entity_id',
        'one',
        'changes',
        '{"name": [null, "x"]}'::jsonb,
        'details',
        '{"reason": "y"}'::jsonb,
        'request_id',
        'request 1',
        'ip',
        '192.0.2.1',
        'user_agent', 'agent 1'
    ),
    'a row has the fields of the interface, and no tenant, seq or netmask'
);
select is(pg_temp.listed(''), '12 8 100 11 10 9 4 3 2 1', 'newest first; those of one moment by seq, as a number');
select is(limena.list_audit_logs()::jsonb -> 'next', 'null'::jsonb, 'on one page: nothing next');

-- Pages, also where the cursor stands between rows of one moment and where the list ends with a page.
select
    is(
        tests.pages('limena.list_audit_logs(%s, %L)', p.size, 'id'),
        tests.paged('select l.id from limena.audit_logs as l order by l.occurred_at desc, l.seq desc', p.size),
        format('pages of %s: each row once, in order, and no empty page at the end', p.size)
    )
from (values (1), (2), (3), (4), (5), (9), (10), (11), (200)) as p (size);

-- Filters, one by one and together; p_from is in, p_to is not.
select is(pg_temp.listed(f.arguments), f.seqs, format('list_audit_logs(%s)', f.arguments))
from (
    values
    ('p_action => ''part.created''', '10 9 4'),
    ('p_action => ''part''', ''),
    ('p_action => ''%''', ''),
    ('p_actor_id => tests.user_id(''a'', ''admin'')', '100 4 3'),
    ('p_actor_id => tests.user_id(''b'', ''owner'')', ''),
    ('p_entity_type => ''thing''', '12 3 2 1'),
    ('p_entity_id => ''one''', '12 100 4 3 1'),
    ('p_entity_type => ''part'', p_entity_id => ''one''', '100 4'),
    ('p_entity_type => '''', p_limit => 200', ''),
    ('p_action => ''part.deleted'', p_actor_id => tests.user_id(''a'', ''owner'')', '11'),
    ('p_from => date_trunc(''month'', now()) + interval ''4 seconds''', '12 8 100 11 10 9'),
    ('p_from => date_trunc(''month'', now()) + interval ''4.000001 seconds''', '12 8'),
    ('p_to => date_trunc(''month'', now()) + interval ''4 seconds''', '4 3 2 1'),
    ('p_to => date_trunc(''month'', now())', ''),
    (
        'p_from => date_trunc(''month'', now()) + interval ''2 seconds'', p_to => date_trunc(''month'','
        ' now()) + interval ''4 seconds''',
        '4 3'
    ),
    ('p_from => ''infinity''', ''),
    ('p_to => ''-infinity''', ''),
    ('p_from => ''-infinity'', p_to => ''infinity''', '12 8 100 11 10 9 4 3 2 1'),
    ('p_limit => 2, p_action => ''part.created''', '10 9')
) as f (arguments, seqs);
select is(
    tests.pages('limena.list_audit_logs(%s, %L, p_entity_type => ''part'')', 2, 'entity_id'),
    '[one two][three two][one]',
    'pages of what is filtered'
);

-- Who may.
select is(
    tests.outcomes('select limena.list_audit_logs()', '{nobody, viewer, member, admin, owner, reader, other}'),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, reader 1, other 42501', 'whoever has audit:read'
);
select tests.enter_as('a', 'member');
select is(
    tests.error_of('select limena.list_audit_logs()'),
    '42501 permission denied; detail audit:read',
    'else it says what is missing'
);

-- Another tenant, with the cursor and the ids of this one.
select tests.enter_as('a');
select set_config('tests.cursor', limena.list_audit_logs(2)::jsonb ->> 'next', true);
select tests.enter_as('b');
select is(pg_temp.listed(''), '50', 'each tenant has its own log');
select is(pg_temp.listed('50, current_setting(''tests.cursor'')'), '50', 'another''s cursor leads nowhere else');
select is(pg_temp.listed('p_actor_id => tests.user_id(''a'', ''owner'')'), '', 'nor does another''s actor');
select is(pg_temp.listed('p_entity_id => ''one'''), '', 'nor another''s entity');
select is(
    limena.list_audit_logs(p_action => 'no.such')::jsonb,
    '{"items": [], "next": null}'::jsonb,
    'nothing: an empty list, not NULL'
);

-- Bad input.
select is(
    tests.error_of('select limena.list_audit_logs(0)'),
    '22023 must be from 1 to 200; column limit',
    'a page of none'
);
select is(
    tests.error_of('select limena.list_audit_logs(201)'),
    '22023 must be from 1 to 200; column limit',
    'a page of too many'
);
select
    is(
        tests.error_of(format('select limena.list_audit_logs(50, %L)', c.cursor)),
        '22023 is not a cursor of this list; column after',
        format('the cursor %L', c.cursor)
    )
from (
    values (''),
    ('x'),
    ('1'),
    ('1_'),
    ('_1'),
    ('1_x'),
    ('1_-1'),
    ('1_1_1'),
    ('1_' || tests.user_id('a', 'owner')),
    ('1_' || repeat('9', 19))
) as c (cursor);

select * from finish();
rollback;
