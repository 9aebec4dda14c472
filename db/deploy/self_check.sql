-- The promises that the catalogs can show, looked at before the commit: any finding ends the transaction.
do $$
declare
    v_findings text;
begin
    select string_agg(format('%s: %s: %s', c.check_name, c.object, c.finding), E'\n' order by c.check_name, c.object, c.finding)
    into v_findings
    from limena.self_check() as c;

    if v_findings is not null then
        raise exception E'the self-check found:\n%', v_findings using errcode = 'P0001';
    end if;
end;
$$;
