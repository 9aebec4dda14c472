-- An operator says why, and may read from their next transaction on. The tenant that is covered finds it in its log;
-- where all are, each does.
--
-- What an operator would try: read in this transaction and roll it back (see current_access), give no reason, never let
-- it end (12 hours are the most).
--
-- SECURITY DEFINER because no role may write operator_access. Who acts is session_user: SET ROLE changes nothing.
create or replace function limena.open_access(
    p_reason text,
    p_tenant_id uuid default null,
    p_duration interval default '30 min'
)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ticket text := limena_private.new_ticket();
    v_expires_at timestamptz;
begin
    perform limena_private.seal_operator();
    v_expires_at := limena_private.declare_access(
        p_ticket => v_ticket,
        p_user_id => null,
        p_session_id => null,
        p_reason => p_reason,
        p_tenant_id => p_tenant_id,
        p_duration => p_duration
    );
    perform set_config('app.operator_ticket', v_ticket, false);
    return v_expires_at;
end;
$$;

comment on function limena.open_access(text, uuid, interval) is
'Declares why this login reads a tenant (NULL: all of them), in the log of whoever is covered, and opens the tables to this session from its next transaction on; returns until when. Raises 22023 for a reason or a duration (up to 12 hours) that will not do, P0002 for a tenant that does not exist.';

grant execute on function limena.open_access(text, uuid, interval) to limena_readonly;
