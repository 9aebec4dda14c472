-- All that the caller may do here and now: the permissions of the role, with an API key only those among its scopes.
--
-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.current_permissions()
returns text[]
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select p.name
        from jsonb_array_elements_text(coalesce(limena_private.verified_context()::jsonb -> 'permissions', '[]')) as p (name)
    );
end;
$$;

comment on function limena.current_permissions() is
'The permissions that the sealed context holds, in order; empty without one. Raises 42501 when the context does not match its seal.';

grant execute on function limena.current_permissions() to limena_app;
