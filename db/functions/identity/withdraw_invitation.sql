-- What was accepted is not withdrawn, nor twice: the policy hides it from UPDATE.
create or replace function limena.withdraw_invitation(p_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena.require('invitations:write');
    update limena.invitations as i
    set withdrawn_at = clock_timestamp()
    where i.tenant_id = (select limena.current_tenant_id()) and i.id = p_id;
    if not found then
        raise exception 'no such invitation' using errcode = 'P0002';
    end if;
end;
$$;

comment on function limena.withdraw_invitation(uuid) is
'Withdraws an open invitation to the current tenant: its link no longer counts. Raises 42501 without invitations:write, P0002 when there is none.';

grant execute on function limena.withdraw_invitation(uuid) to limena_app;
