-- Whether the role, or the key's scopes, would give the permission if the tenant were not frozen.
--
-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.is_withheld(p_permission text)
returns boolean
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((limena_private.verified_context()::jsonb -> 'withheld') ? p_permission, false);
end;
$$;

comment on function limena.is_withheld(text) is
'True when the sealed context lacks the permission only because its tenant is frozen. Raises 42501 when the context does not match its seal.';

grant execute on function limena.is_withheld(text) to limena_app;
