-- The promises that the catalogs can show, looked at before the commit: any finding ends the transaction.
do $$
declare
    v_findings text;
begin
    select string_agg(c.line, e'\n' order by c.line) into v_findings
    from (
        select format('%s: %s: %s', s.check_name, s.object, s.finding) as line
        from limena.self_check() as s
    ) as c;

    if v_findings is not null then
        raise exception e'the self-check found:\n%', v_findings using errcode = 'P0001';
    end if;
end;
$$;
