-- For policies of limena_readonly. Alone, on tables that belong to no tenant, it is a condition without a column, which
-- PostgreSQL tests before it touches the table: nothing of a caller's runs where it is not true.
--
-- SECURITY DEFINER because no role may read tickets.
create or replace function limena.covers_all()
returns boolean
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_access limena.operator_access := limena_private.current_access();
begin
    return coalesce(v_access.covers_all, false);
end;
$$;

comment on function limena.covers_all() is 'True when the operator''s declared access covers all tenants.';

grant execute on function limena.covers_all() to limena_readonly;
