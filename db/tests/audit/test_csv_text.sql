-- limena.csv_text(): what a spreadsheet would take for a formula does not begin a cell. Fails without either of its
-- regular expressions, and where its fast path lets one through.
begin;
select plan(32);

-- What begins a formula, in any form, and what may stand in front of it unnoticed. Written down apart from the
-- function's own lists, by what it is: \s and its like depend on the server's locale.
create temporary table unseen as
select r.range
from (
    values
    (int4range(1, 32)),  -- controls, tab and line ends among them
    ('[127,159]'),  -- DEL and the other controls
    ('[32,32]'),  -- spaces: the common one
    ('[160,160]'),  -- that does not break
    ('[5760,5760]'),  -- ogham
    ('[8192,8202]'),  -- of all widths
    ('[8239,8239]'),  -- narrow
    ('[8287,8287]'),  -- of mathematics
    ('[12288,12288]'),  -- ideographic
    ('[10240,10240]'),  -- of braille
    ('[8232,8233]'),  -- separators of lines and paragraphs
    ('[173,173]'),  -- the soft hyphen
    ('[847,847]'),  -- the grapheme joiner
    ('[1564,1564]'),  -- the arabic mark
    ('[4447,4448]'),  -- fillers of hangul
    ('[12644,12644]'),  -- and another
    ('[65440,65440]'),  -- and one of half the width
    ('[6068,6069]'),  -- vowels of khmer
    ('[6155,6159]'),  -- selectors of mongolian
    ('[8203,8207]'),  -- what has no width: joiners, marks of direction
    ('[8234,8238]'),  -- embeddings and overrides
    ('[8288,8303]'),  -- the word joiner, isolates, operators
    ('[65024,65039]'),  -- variation selectors
    ('[65279,65279]'),  -- the byte order mark
    ('[65520,65531]'),  -- annotations
    ('[113824,113827]'),  -- of shorthand
    ('[119155,119162]'),  -- of music
    ('[917504,921599]'),  -- tags, more selectors
    ('[34,34]'),  -- quotation marks: the double one
    ('[39,39]'),  -- the single one
    ('[96,96]'),  -- the grave accent
    ('[8216,8223]'),  -- those of print
    ('[65282,65282]'),  -- in full width
    ('[65287,65287]')  -- single
) as r (range);
create temporary table characters as
select
    c.code,
    c.sign,
    left(normalize(c.sign, nfkc), 1) in ('=', '+', '-', '@', U&'\2212') as is_sign, -- noqa: RF03
    c.code <@ any(array(select u.range from unseen as u)) as is_unseen
from (
    -- All of the first plane but NUL and the halves of pairs; of the others, what matters here and what is around it.
    select
        g.code,
        chr(g.code) as sign -- noqa: RF04
    from generate_series(1, 921855) as g (code)
    where
        g.code < 55296
        or g.code between 57344 and 65535
        or g.code between 113664 and 113919
        or g.code between 119040 and 119295
        or g.code > 917248
) as c;
grant select on characters to public;

-- Who may.
select is(
    array(
        select r.rolname::text
        from pg_roles as r
        where r.rolname like 'limena\_%' and has_function_privilege(r.oid, 'limena.csv_text(text)', 'execute')
        order by 1
    ),
    '{limena_app, limena_owner, limena_readonly}',
    'those who export call it'
);
set local role limena_auth;
select is(tests.outcome('select limena.csv_text(''x'')'), '42501', 'and nobody else');
set local role limena_app;

-- Each character in its place. A tab and a CR are dangerous alone, too.
select is(
    (select string_agg(c.sign, '' order by c.code) filter (where c.is_sign) from characters as c),
    U&'+-=@\207A\207B\207C\208A\208B\208C\2212\2A75\2A76\FB29\FE62\FE63\FE66\FE6B\FF0B\FF0D\FF1D\FF20',
    'the four signs, the minus, and what Unicode calls compatible with them, or with a text that they begin'
);
select is_empty(
    $$select c.code, c.outcome
    from (select c.*, limena.csv_text(c.sign || '1+1') as outcome from characters as c) as c
    where c.outcome <> case when c.is_sign or c.code in (9, 13) then '''' else '' end || c.sign || '1+1'$$,
    'these, a tab and a CR in first place get an apostrophe in front, and nothing else does'
);
select is_empty(
    $$select c.code, c.outcome
    from (select c.*, limena.csv_text(c.sign) as outcome from characters as c) as c
    where c.outcome <> case when c.is_sign or c.code in (9, 13) then '''' else '' end || c.sign$$,
    'also when they are all there is'
);
select is_empty(
    $$select c.code, c.outcome
    from (select c.*, limena.csv_text(c.sign || '=1') as outcome from characters as c) as c
    where c.outcome <> case
            when c.code in (9, 10, 13) then '''' || c.sign || '''=1'  -- another cell begins, too
            when c.sign = ';' then ';''=1'
            when c.is_sign or c.is_unseen then '''' || c.sign || '=1'
            else c.sign || '=1'
        end$$,
    'a formula is seen behind each character that does not show and each quote, and behind no other'
);
select is(limena.csv_text(u.everything || '=1'), '''' || u.everything || '=1', 'however many stand before it')
from (
    select string_agg(c.sign, '' order by c.code) as everything
    from characters as c
    where c.is_unseen and c.code not in (9, 10, 13)
) as u;

-- What matters most, to be read.
select is(limena.csv_text(w.given), w.expected, w.description)
from (
    values
    ('=1+1', '''=1+1', 'equals'),
    ('+1', '''+1', 'plus'),
    ('-1', '''-1', 'minus'),
    ('@SUM(A1)', '''@SUM(A1)', 'at'),
    (E'\t1', E'''\t1', 'a tab'),
    (E'\r1', E'''\r1', 'a CR'),
    ('   =1', '''   =1', 'after spaces'),
    ('"=1"', '''"=1"', 'after a quote'),
    ('''=1', '''''=1', 'after an apostrophe, which some readers take away'),
    (U&'\FF1D1', U&'''\FF1D1', 'full-width equals'),
    (U&'\FF0B1', U&'''\FF0B1', 'full-width plus'),
    (U&'\FF0D1', U&'''\FF0D1', 'full-width minus'),
    (U&'\FF20x', U&'''\FF20x', 'full-width at'),
    (U&' \201C\200B\00A0=1', U&''' \201C\200B\00A0=1', 'after a mixture'),
    ('x;=1; +1;y', 'x;''=1;'' +1;y', 'after a semicolon, where half of Europe begins a cell'),
    (E'x\t=1\t\t +1', E'x\t''=1\t\t'' +1', 'after a tab, as in what is pasted'),
    (E'x\n=1\r\n@a', E'x\n''=1\r\n''@a', 'after a line end'),
    ('=1;=1', '''=1;''=1', 'in both cells')
) as w (given, expected, description);

-- What stays as it is.
select is_empty(
    $$select v.given, limena.csv_text(v.given)
    from (
        values
        ('plain'), ('a=b'), ('1-1'), ('a-b@c.example'), ('2026-01-01'), ('0'), ('~'), ('[x]'), ('(1)'), ('!'), ('/x'),
        ('é'), (U&'\+01F600'), ('x; y=1;'), ('x=1' || chr(10)), ('"quoted"'), ('it''s'), ('.5'), ('#1'), ('%'), (' x'),
        (';'), (chr(10)), ('a' || chr(9) || 'b=1'), ('lmn_abc'), ('{"a": "=1"}')
    ) as v (given)
    where limena.csv_text(v.given) <> v.given$$,
    'values that are no formulas'
);
select is(limena.csv_text(null), null, 'NULL is NULL');
select is(limena.csv_text(''), '', 'an empty text is empty');
select is(md5(limena.csv_text(v.given)), md5(v.expected), v.description)
from (
    values
    (repeat('x', 1000000), repeat('x', 1000000), 'a million characters'),
    ('=' || repeat('x', 1000000), '''=' || repeat('x', 1000000), 'of a formula'),
    (repeat(' ', 1000000) || '=', '''' || repeat(' ', 1000000) || '=', 'a million spaces in front hide nothing'),
    (repeat('x;=', 100000), repeat('x;''=', 100000), 'nor do a hundred thousand cells')
) as v (given, expected, description);

select * from finish();
rollback;
