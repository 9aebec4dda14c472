-- A printed script may be run later, elsewhere, or twice: it stops where the ledger is not the one it was made for.
-- limena.deploy_ledger is the digest of that ledger, or empty where there was none. In limena deploy it holds by
-- construction.
do $$
declare
    v_planned text := current_setting('limena.deploy_ledger');
    v_exists boolean := exists (
        select
        from pg_class as c
        inner join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = 'limena_private' and c.relname = 'deployed_files'
    );
    v_as_planned boolean := not v_exists and v_planned = '';
    v_lines text;
begin
    -- Planned for a ledger, the deploy is limena_owner by now and may read it; planned for none, it is not.
    if v_exists and v_planned <> '' then
        select string_agg(f.path || ' ' || f.sha256, e'\n' order by f.path collate "C") into v_lines
        from limena_private.deployed_files as f;
        v_as_planned := encode(sha256(convert_to(v_lines, 'UTF8')), 'hex') is not distinct from v_planned;
    end if;
    if not v_as_planned then
        raise exception 'the database is not in the state that this deploy was planned for: plan it again'
            using errcode = '55000';
    end if;
end;
$$;
