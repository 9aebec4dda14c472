-- A printed script may be run later, elsewhere, or twice: it stops where the ledger is not the one that it was made
-- for. limena.deploy_ledger is the digest of that ledger, or empty where there was none. In limena deploy it holds by
-- construction.
do $$
declare
    v_exists boolean := exists (
        select
        from pg_class as c
        inner join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = 'limena_private' and c.relname = 'deployed_files'
    );
    v_digest text := '';
begin
    if v_exists then
        select string_agg(f.path || ' ' || f.sha256, e'\n' order by f.path collate "C") into v_digest
        from limena_private.deployed_files as f;
        v_digest := encode(sha256(convert_to(v_digest, 'UTF8')), 'hex');
    end if;
    if v_digest is distinct from current_setting('limena.deploy_ledger') then
        raise exception 'the database is not in the state that this deploy was planned for: plan it again'
            using errcode = '55000';
    end if;
end;
$$;
