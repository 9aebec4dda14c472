-- The one definition that policies and procedures share. enter_… put the permissions into the context; nothing else
-- does.
--
-- SECURITY DEFINER because the seal's key is readable by the owner alone.
create or replace function limena.has_permission(p_permission text)
returns boolean
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((limena_private.verified_context()::jsonb -> 'permissions') ? p_permission, false);
end;
$$;

comment on function limena.has_permission(text) is
'True when the sealed context holds the permission; false without a context. Raises 42501 when the context does not match its seal.';

grant execute on function limena.has_permission(text) to limena_app;
