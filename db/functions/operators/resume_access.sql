-- Puts a ticket of open_access_as() to use for the rest of this transaction: `select proc() from
-- limena.resume_access(…)`. Raises where the tables would only be empty.
--
-- SECURITY DEFINER because no role may read tickets.
create or replace function limena.resume_access(p_ticket text)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_access limena.operator_access;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'access is resumed under READ COMMITTED only' using errcode = '25001';
    end if;
    perform set_config('app.operator_ticket', coalesce(p_ticket, ''), true);
    v_access := limena_private.current_access();
    if v_access.id is null then
        raise exception 'there is no such access' using errcode = '42501';
    end if;
    return true;
end;
$$;

comment on function limena.resume_access(text) is
'Opens to this transaction what its ticket of open_access_as() covers. Raises 42501 when the ticket is not in force or the person no platform admin any more, 25001 unless READ COMMITTED.';

grant execute on function limena.resume_access(text) to limena_readonly;
