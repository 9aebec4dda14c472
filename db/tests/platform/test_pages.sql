-- limena.page_limit(), cursor_of(), cursor_time() and cursor_key(): how lists are cut into pages. Fails without them.
begin;
select plan(50);

-- The size of a page.
select is(limena.page_limit(w.size), w.size, format('%s items', w.size)) from (values (1), (50), (200)) as w (size);
select
    is(
        tests.error_of(format('select limena.page_limit(%L)', w.size)), '22023 must be from 1 to 200; column limit',
        format('%s items are refused', coalesce(w.size::text, 'NULL'))
    )
from (values (null), (0), (-1), (201), (2147483647), (-2147483648)) as w (size);

-- There and back, to the microsecond, wherever the session is.
select set_config('timezone', z.name, true) from (values ('Asia/Kathmandu')) as z (name);
select
    is(
        row(
            limena.cursor_time(limena.cursor_of(w.at, 'ab-1')),
            limena.cursor_key(limena.cursor_of(w.at, 'ab-1'), '^[a-z0-9-]+$')
        ),
        row(w.at, 'ab-1'::text),
        format('there and back: %s', w.at)
    )
from (
    values
    ('2026-01-01T00:00:00Z'::timestamptz), ('2026-11-23T17:04:05.678901Z'), ('2026-11-23T17:04:05.678902Z'),
    ('1970-01-01T00:00:00Z'), ('2024-02-29T23:59:59.999999Z'), ('2026-03-29T01:00:00Z'),
    ('2200-01-01T00:00:00.000001Z')
) as w (at);
select is(limena.cursor_of('1970-01-01T00:00:01.5Z', 'x'), '1500000_x', 'microseconds since the epoch, and the key');
select is(limena.cursor_time(null), 'infinity'::timestamptz, 'no cursor: the start of the list');
select is(limena.cursor_key(null, '^x$'), null, 'and no key');
select is(limena.cursor_time('0_0'), '1970-01-01T00:00:00Z'::timestamptz, 'the first cursor');
select is(limena.cursor_time('9999999999999999_0') > '2200-01-01', true, 'the last one is a time as well');

-- What is no cursor.
select
    is(
        tests.error_of(format('select limena.cursor_time(%L)', w.cursor)),
        '22023 is not a cursor of this list; column after',
        format('%L is no cursor', left(w.cursor, 40))
    )
from (
    values
    (''), ('_'), ('1'), ('1_'), ('_1'), (' 1_1'), ('1_1 '), (E'1_1\n'), ('1_1_1'), ('1__1'), ('-1_1'), ('+1_1'),
    ('1.0_1'), ('1e3_1'), ('x_1'), ('1_X'), ('1_g'), ('١_1'), ('infinity'), ('10000000000000000_1'),
    ('1_' || repeat('a', 37)), (repeat('1', 1000000) || '_1')
) as w (cursor);
select
    is(
        tests.error_of(format('select limena.cursor_key(%L, %L)', w.cursor, w.pattern)),
        '22023 is not a cursor of this list; column after',
        format('the key of %L is not like %L', w.cursor, w.pattern)
    )
from (
    values ('1_1', '^[a-z]+$'),
    ('1_', '^[0-9]+$'),
    ('1', '^[0-9]+$'),
    ('1_a1', '^[0-9]{1,18}$'),
    ('1_1234567890123456789', '^[0-9]{1,18}$')
) as w (cursor, pattern);

-- They are what procedures call as limena_app.
set local role limena_app;
select is(
    tests.outcome(
        'select limena.page_limit(1), limena.cursor_time(null), limena.cursor_key(null, ''''),'
        ' limena.cursor_of(now(), ''x'')'
    ),
    '1',
    'limena_app may call them'
);
set local role limena_auth;
select is(tests.outcome('select limena.page_limit(1)'), '42501', 'limena_auth has no lists');

select * from finish();
rollback;
