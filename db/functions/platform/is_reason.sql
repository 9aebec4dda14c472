-- Why someone does what they need not have done: words that whoever reads the log can see. Not only spaces, marks and
-- characters without a shape, and none that turn the direction of writing. (The classes are spelled out: [[:alnum:]]
-- would follow the database's locale, which may know no letter but English ones.)
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.is_reason(p_reason text, p_least integer)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        char_length(btrim(p_reason)) between p_least and 500
        and p_reason !~ '[[:cntrl:]]'
        and p_reason !~ '[\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B\u200E\u200F\u2028-\u202E\u2060-\u206F\u3164\uFEFF\uFFA0\uFFF0-\uFFFB\U000E0000-\U000E0FFF]'
        and p_reason ~ '[0-9A-Za-z\u00C0-\u167F\u1681-\u1FFF\u2C00-\u2DFF\u3005-\uD7FF\uF900-\uFDFF\uFE70-\uFEFC\uFF10-\uFFDC\U00010000-\U0003FFFF]',
        false
    );
end;
$$;

comment on function limena_private.is_reason(text, integer) is
'True for p_least to 500 characters with a letter or a digit among them, and no control and no invisible one.';
