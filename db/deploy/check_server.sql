-- What a server must be, looked at before anything is touched. limena.deploy_environment is 'production' or
-- 'development'.
do $$
declare
    v_version integer := current_setting('server_version_num')::integer;
    v_encoding text := current_setting('server_encoding');
    -- The first minor releases without the known holes through which row-level security can be passed.
    v_minimum integer := case v_version / 10000
        when 15 then 150015
        when 16 then 160011
        when 17 then 170007
        when 18 then 180001
    end;
    v_finding text;
begin
    if v_version < 150000 then
        raise exception 'this is PostgreSQL %: Limena needs 15 to 18', current_setting('server_version')
            using errcode = '0A000';
    end if;
    if v_version >= 190000 then
        raise warning 'this is PostgreSQL %: Limena is tested on 15 to 18', current_setting('server_version');
    end if;
    if v_version < v_minimum then
        v_finding := format(
            'this is PostgreSQL %s.%s, which has known holes in row-level security: update it to %s.%s or later',
            v_version / 10000, v_version % 10000, v_minimum / 10000, v_minimum % 10000
        );
        -- Anything but a clear 'development' counts as production.
        if current_setting('limena.deploy_environment', true) is distinct from 'development' then
            raise exception '%', v_finding using errcode = '0A000';
        end if;
        raise warning '%', v_finding;
    end if;

    if pg_is_in_recovery() then
        raise exception 'this server is a standby and read only: deploy to the primary' using errcode = '25006';
    end if;
    if current_setting('transaction_read_only')::boolean then
        raise exception 'the database is set to read only (default_transaction_read_only)' using errcode = '25006';
    end if;
    if v_encoding <> 'UTF8' then
        raise exception 'the database''s encoding is %: Limena needs UTF8', v_encoding using errcode = '0A000';
    end if;
end;
$$;
