-- limena.list_sessions(): one's own live sessions, page by page, and never another's. Fails without the function.
begin;
select plan(26);

select tests.make_tenants();
select
    tests.make_api_key(p_tenant => 'a', p_scopes => array(
        select p.name from limena.permissions as p
        where p.name <> 'tenant:own'
    ));
-- The owner of a has seven sessions: that of the fixture, four of one moment, one ended and one over.
update limena.sessions set
    created_at = '2026-03-01T00:00:00Z', expires_at = 'infinity', ip = '192.0.2.1', user_agent = 'agent 1'
where id = tests.id('session', 'a owner');
update limena.session_uses set last_seen_at = '2026-03-02T00:00:00Z'
where session_id = tests.id('session', 'a owner');
insert into limena.sessions (id, user_id, secret_hash, created_at, expires_at, ended_at, ip)
select
    tests.id('session', 'more ' || s.number),
    tests.user_id('a', 'owner'),
    sha256(s.number::text::bytea),
    s.created_at,
    s.expires_at,
    s.ended_at,
    '2001:db8::1'
from (
    values
    (1, '2026-02-01T00:00:00.123456Z'::timestamptz, 'infinity'::timestamptz, null::timestamptz),
    (2, '2026-02-01T00:00:00.123456Z', 'infinity', null),
    (3, '2026-02-01T00:00:00.123456Z', 'infinity', null),
    (4, '2026-02-01T00:00:00.123456Z', 'infinity', null),
    (5, '2026-02-02T00:00:00Z', 'infinity', now()),
    (6, '2026-02-02T00:00:00Z', now(), null)
) as s (number, created_at, expires_at, ended_at);
insert into limena.session_uses (session_id, user_id)
select
    s.id,
    s.user_id
from limena.sessions as s
on conflict do nothing;

set local timezone = 'UTC';
set local role limena_app;
select tests.enter_as('a', 'owner');
select is(
    limena.list_sessions()::jsonb #> '{items, 0}',
    jsonb_build_object(
        'id',
        tests.id('session', 'a owner'),
        'user_agent',
        'agent 1',
        'ip',
        '192.0.2.1',
        'created_at',
        '2026-03-01T00:00:00+00:00',
        'last_seen_at',
        (
            select u.last_seen_at from limena.session_uses as u
            where u.session_id = tests.id('session', 'a owner')
        ),
        'expires_at', 'infinity', 'current', true
    ),
    'the newest first, with what there is to say; no hash'
);
select is(
    array(select i.item ->> 'id' from jsonb_array_elements(limena.list_sessions()::jsonb -> 'items') as i (item)),
    array[tests.id('session', 'a owner')::text] || array(
        select tests.id('session', 'more ' || n)::text from generate_series(1, 4) as g (n)
        order by tests.id('session', 'more ' || n) desc
    ),
    'those of one moment by id; none that has ended or is over'
);
select is(
    array(
        select i.item -> 'current' from jsonb_array_elements(limena.list_sessions()::jsonb -> 'items') as i (item)
        where (i.item ->> 'id')::uuid <> tests.id('session', 'a owner')
    ),
    array['false'::jsonb, 'false', 'false', 'false'],
    'the others are not current'
);
select is(limena.list_sessions()::jsonb #>> '{items, 1, ip}', '2001:db8::1', 'an address without its mask');
select is(limena.list_sessions()::jsonb -> 'next', 'null'::jsonb, 'all on one page: nothing next');
select
    is(
        tests.pages('limena.list_sessions(%s, %L)', p.size, 'id'),
        tests.paged(
            'select s.id from limena.sessions as s where s.ended_at is null and s.expires_at > now() order by s.created_at desc, s.id desc',  -- noqa: LT05
            p.size
        ),
        format('pages of %s: each once, in order, and no empty page at the end', p.size)
    )
from (values (1), (2), (3), (4), (5), (6), (200)) as p (size);
select limena.enter_session(sha256('1'), null);
select is(
    array(
        select i.item ->> 'id' from jsonb_array_elements(limena.list_sessions()::jsonb -> 'items') as i (item)
        where (i.item ->> 'current')::boolean
    ),
    array[tests.id('session', 'more 1')::text],
    'current is the one that asks, in a tenant or in none'
);

-- Never another's.
select is(
    tests.outcomes(
        'select from jsonb_array_elements(limena.list_sessions()::jsonb -> ''items'')',
        '{nobody, viewer, member, admin, owner, key}'
    ),
    'nobody 42501, viewer 1, member 1, admin 1, owner 5, key 42501',
    'each their own, an owner too; a key not its creator''s, whatever its scopes'
);
select tests.enter_as('b', 'owner');
select is(
    array(select i.item ->> 'id' from jsonb_array_elements(limena.list_sessions()::jsonb -> 'items') as i (item)),
    array[tests.id('session', 'b owner')::text], 'the owner of b is told of one'
);

-- What is refused.
select is(tests.error_of(format('select limena.list_sessions(%s)', w.arguments)), w.error, w.arguments)
from (
    values
    ('0', '22023 must be from 1 to 200; column limit'),
    ('201', '22023 must be from 1 to 200; column limit'),
    ('-1', '22023 must be from 1 to 200; column limit'),
    ('null', '22023 must be from 1 to 200; column limit')
) as w (arguments, error);
select
    alike(
        tests.error_of(format('select limena.list_sessions(50, %L)', w.cursor)),
        '22023 %; column after',
        'cursor ' || left(w.cursor, 20)
    )
from (
    values ('x'), ('0_x'), ('_'), ('0_' || tests.id('session', 'more 1') || 'x'), (repeat('x', 100000))
) as w (cursor);
set local role limena_auth;
select is(tests.outcome('select limena.list_sessions()'), '42501', 'not for limena_auth');
set local role limena_readonly;
select is(tests.outcome('select limena.list_sessions()'), '42501', 'nor for limena_readonly');

select * from finish();
rollback;
