-- A text for a CSV file that a spreadsheet will open: what one would take for a formula gets an apostrophe in front,
-- also after spaces, quotes and characters that do not show (Unicode's White_Space and Default_Ignorable_Code_Point,
-- controls, the blank of braille), and in whatever form NFKC makes a text of that begins with one of = + - @, the
-- full-width ones first of all. And not at the beginning alone: where the comma is the decimal sign, spreadsheets split
-- a .csv file at semicolons and line ends, whatever is quoted, and what is pasted at tabs.
--
-- One expression of qualified names in SQL, so that PostgreSQL inlines it: an export runs it five times a row. The
-- first condition is for speed, too: most values begin with a letter or a digit.
create or replace function limena.csv_text(p_text text)
returns text
language sql
immutable
parallel safe
security invoker
as $$
select case
    when (
        pg_catalog.ascii(p_text) operator(pg_catalog.>=) 97 and pg_catalog.ascii(p_text) operator(pg_catalog.<=) 122
        or pg_catalog.ascii(p_text) operator(pg_catalog.>=) 65 and pg_catalog.ascii(p_text) operator(pg_catalog.<=) 90
        or pg_catalog.ascii(p_text) operator(pg_catalog.>=) 48 and pg_catalog.ascii(p_text) operator(pg_catalog.<=) 57
    )
    and pg_catalog.strpos(p_text, ';') operator(pg_catalog.=) 0
    and pg_catalog.strpos(p_text, E'\t') operator(pg_catalog.=) 0
    and pg_catalog.strpos(p_text, E'\r') operator(pg_catalog.=) 0
    and pg_catalog.strpos(p_text, E'\n') operator(pg_catalog.=) 0
        then p_text
    else pg_catalog.regexp_replace(
        pg_catalog.regexp_replace(
            p_text,
            '([;\t\r\n])([\u0001-\u0008\u000b\u000c\u000e-\u0020"''`\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2018-\u201f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uff02\uff07\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*[=+@\u207a-\u207c\u208a-\u208c\u2212\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20-])',
            '\1''\2',
            'g'
        ),
        '^([\u0001-\u0020"''`\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2018-\u201f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uff02\uff07\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*[=+@\t\r\u207a-\u207c\u208a-\u208c\u2212\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20-])',
        '''\1'
    )
end
$$;

comment on function limena.csv_text(text) is 'The text, with an apostrophe in front where a spreadsheet would take it for a formula.';

grant execute on function limena.csv_text(text) to limena_app, limena_readonly;
