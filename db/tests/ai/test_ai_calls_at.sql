-- limena.ai_calls_at(): the ring of an hour's calls, moved on by whole minutes, whatever the two times are. Fails
-- without the bounds on how far.
begin;
select plan(14);

-- 1 call in the newest minute, 2 in the one before, … 61 in the oldest; at 12:00:30.
create function tests.moved(p_by interval)
returns text
language sql
as $$
select concat_ws(' ', c.calls[1], c.calls[2], c.calls[60], c.calls[61], cardinality(c.calls))
from limena.ai_calls_at(
    array(select g from generate_series(1, 61) as g), '2026-01-01 12:00:30Z', timestamptz '2026-01-01 12:00:30Z' + p_by
) as c (calls)
$$;

set local session authorization limena_app;
select is(tests.moved(m.by), m.expected, 'after ' || m.by)
from (
    values
    (interval '0', '1 2 60 61 61'),
    ('29 s', '1 2 60 61 61'),
    ('30 s', '0 1 59 60 61'),
    ('1 min 30 s', '0 0 58 59 61'),
    ('59 min 30 s', '0 0 0 1 61'),
    ('60 min 30 s', '0 0 0 0 61'),
    ('100 years', '0 0 0 0 61'),
    -- A clock that was set back: nothing is forgotten.
    ('-1 s', '1 2 60 61 61'),
    ('-100 years', '1 2 60 61 61')
) as m (by, expected);
select
    is(
        (limena.ai_calls_at(array_fill(1, array[61]), t.as_of, t.now))[1] || ' of ' || t.name,
        t.expected || ' of ' || t.name,
        t.name
    )
from (
    values
    (timestamptz '-infinity', timestamptz 'epoch', 0, 'time immemorial'),
    ('epoch', '-infinity', 1, 'the end before the beginning'),
    ('infinity', 'epoch', 1, 'what is never'), ('epoch', 'infinity', 0, 'for ever'),
    ('294276-12-31', '4713-01-01 BC', 1, 'as far back as there is')
) as t (as_of, now, expected, name);

select * from finish();
rollback;
