-- limena.csv_text(): what a spreadsheet would take for a formula does not begin a cell. Fails without either of its
-- regular expressions, and where its fast path lets one through.
begin;
select plan(26);

-- All characters but NUL, in one transaction's table: code point and text. Surrogates are none.
create temporary table characters as
select
    g.code,
    chr(g.code) as character -- noqa: RF04
from generate_series(1, x'ffff'::integer) as g (code)
where g.code not between x'd800'::integer and x'dfff'::integer;
grant select on characters to public;
-- What begins a formula: = + - @, the minus sign, and the full-width forms of the four; as code points.
create function pg_temp.signs()
returns integer[]
language sql
immutable
as $$ select array[x'3d', x'2b', x'2d', x'40', x'2212', x'ff1d', x'ff0b', x'ff0d', x'ff20']::bit(16)[]::integer[] $$;

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

-- Each character in first place, as a value of its own and before a text. TAB and CR count as signs there.
select is(
    (
        select array_agg(c.code order by c.code) from characters as c
        where limena.csv_text(c.character) <> c.character
    ),
    (
        select array_agg(s.code order by s.code)
        from (
            select unnest(pg_temp.signs()) as code
            union
            values (9), (13)
        ) as s
    ),
    'exactly these are taken for a formula alone'
);
