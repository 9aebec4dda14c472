-- For /readyz: does this database have the files that this process was built with?
--
-- SECURITY DEFINER because the ledger is in limena_private. It tells one digest and nothing of the files.
create or replace function limena.deployed_digest()
returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return encode(sha256(convert_to(
        coalesce(string_agg(f.path || ' ' || f.sha256, E'\n' order by f.path collate "C"), ''), 'UTF8'
    )), 'hex')
    from limena_private.deployed_files as f;
end;
$$;

comment on function limena.deployed_digest() is 'SHA-256 over the deployed files'' names and hashes, as 64 hexadecimal digits.';

grant execute on function limena.deployed_digest() to limena_app, limena_maintenance;
