-- One deploy at a time in a database. The key is the six letters of "limena". For the session, since files that are not
-- transactional need it as well; and tried, not waited for: a waiting statement holds a snapshot, and CREATE INDEX
-- CONCURRENTLY in the deploy that has the lock would wait for that snapshot to go. `limena deploy` tries again until it
-- gets it; psql stops here.
do $$
declare
    v_key constant bigint := x'6c696d656e61'::bigint;
    v_holder text;
begin
    if not pg_try_advisory_lock(v_key) then
        -- Any role that can log in can take an advisory lock, so say who has it.
        select format(' (process %s of %s)', l.pid, a.usename) into v_holder
        from pg_locks as l
        left join pg_stat_activity as a on a.pid = l.pid
        where l.locktype = 'advisory'
            and l.granted
            and l.database = (select d.oid from pg_database as d where d.datname = current_database())
            and l.classid = (v_key >> 32)::oid
            and l.objid = (v_key & x'ffffffff'::bigint)::oid
            and l.objsubid = 1
        limit 1;
        raise exception 'another deploy of this database is running%', v_holder using errcode = '55P03';
    end if;
end;
$$;
