-- A person joins a tenant, in one transaction: as a new user (then with a password and a name), or as the user who has
-- the invited address.
--
-- What an attacker would try: guess a token (256 bits, of which the SHA-256 is stored), use one twice or in two places
-- at once (the row is locked, and counts once), join with another address (the token is the address's own), take over
-- an existing account by an invitation (neither password nor name of an existing user is touched), come back through an
-- invitation made before one was removed (it counts as long as its maker could make it).
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.accept_invitation(
    p_token_hash bytea,
    p_password_hash text default null,
    p_display_name text default null,
    p_request_id text default null,
    p_ip inet default null,
    p_user_agent text default null
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_invitation record;
    v_user record;
    v_user_id uuid := gen_random_uuid();
begin
    select i.tenant_id, i.id, i.email, i.role, t.name, t.state into v_invitation
    from limena.invitations as i
    inner join limena.tenants as t on i.tenant_id = t.id
    where i.token_hash = p_token_hash
        and i.accepted_at is null
        and i.expires_at > clock_timestamp()
        and t.state <> 'deleted'
        and not exists (
            select from limena.role_permissions as given
            where (given.role = i.role or given.permission = 'invitations:write')
                and not exists (
                    select from limena.memberships as m
                    inner join limena.role_permissions as held on m.role = held.role
                    where m.tenant_id = i.tenant_id and m.user_id = i.invited_by and held.permission = given.permission
                )
        )
    for update of i;
    if not found then
        raise exception 'there is no such invitation' using errcode = 'P0002';
    end if;
    if v_invitation.state <> 'active' then
        raise exception 'the tenant is frozen' using errcode = 'LM001';
    end if;

    select u.id, u.email, u.display_name into v_user from limena.users as u where u.email = v_invitation.email;
    perform limena_private.seal_context(
        p_tenant_id => null,
        p_actor_type => 'user',
        p_actor_id => coalesce(v_user.id, v_user_id),
        p_actor_label => v_invitation.email,
        p_user_id => coalesce(v_user.id, v_user_id),
        p_role => null,
        p_permissions => '{}',
        p_session_id => null,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent
    );

    if v_user.id is null then
        if p_password_hash is null then
            raise exception 'is needed to make an account' using errcode = '22023', column = 'password';
        end if;
        if p_display_name is null then
            raise exception 'is needed to make an account' using errcode = '22023', column = 'display_name';
        end if;
        insert into limena.users (id, email, display_name, password_hash)
        values (v_user_id, v_invitation.email, p_display_name, p_password_hash)
        returning id, email, display_name into v_user;
    end if;

    insert into limena.memberships (tenant_id, user_id, role)
    values (v_invitation.tenant_id, v_user.id, v_invitation.role);
    update limena.invitations as i
    set accepted_at = clock_timestamp()
    where i.tenant_id = v_invitation.tenant_id and i.id = v_invitation.id;

    return jsonb_build_object(
        'user', jsonb_build_object('id', v_user.id, 'email', v_user.email, 'display_name', v_user.display_name),
        'tenant', jsonb_build_object('id', v_invitation.tenant_id, 'name', v_invitation.name, 'state', v_invitation.state)
    );
end;
$$;

comment on function limena.accept_invitation(bytea, text, text, text, inet, text) is
'Accepts an invitation by the SHA-256 of its token. p_password_hash (bcrypt) and p_display_name are for a new user. Raises P0002 when there is no open invitation, LM001 when the tenant is frozen, 23505 for a member, 22023 or 23514 for a bad value.';

grant execute on function limena.accept_invitation(bytea, text, text, text, inet, text) to limena_auth;
