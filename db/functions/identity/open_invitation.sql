-- The invitation behind a token, if it still counts: not used, withdrawn or overdue, into a tenant that is there, and
-- its maker could make it today (who was removed or lowered leaves no way in behind; who comes back after that, none of
-- before).
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.open_invitation(p_token_hash bytea)
returns table (tenant_id uuid, id uuid, email text, role limena.member_role, tenant_name text, tenant_state text)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select i.tenant_id, i.id, i.email, i.role, t.name, t.state
    from limena.invitations as i
    inner join limena.tenants as t on i.tenant_id = t.id
    where i.token_hash = p_token_hash
        and i.accepted_at is null
        and i.withdrawn_at is null
        and i.expires_at > clock_timestamp()
        and t.state <> 'deleted'
        and not exists (
            select from limena.role_permissions as given
            where (given.role = i.role or given.permission = 'invitations:write')
                and not exists (
                    select from limena.memberships as m
                    inner join limena.role_permissions as held on m.role = held.role
                    where m.tenant_id = i.tenant_id
                        and m.user_id = i.invited_by
                        and m.created_at <= i.created_at
                        and held.permission = given.permission
                )
        );
end;
$$;

comment on function limena_private.open_invitation(bytea) is 'The open invitation behind the SHA-256 of a token; no row where there is none.';
