-- A person joins a tenant, in one transaction: as a new user, with a password and a name, or as the user who has the
-- invited address, who then proves to be that user: by a session of theirs (p_secret_hash), or by their password, which
-- the API has verified against p_verified_hash.
--
-- What an attacker would try: guess a token (256 bits, of which the SHA-256 is stored), use one twice or in two places
-- at once (the row is locked, and counts once), join with another address (the token is the address's own, and so must
-- be the session), bring somebody into a tenant who does not want to (a forwarded or stolen mail alone does nothing to
-- an account that exists), take over an account by an invitation (neither password nor name of an existing user is
-- touched), come back through an invitation made before one was removed (open_invitation()).
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.accept_invitation(
    p_token_hash bytea,
    p_password_hash text default null,
    p_display_name text default null,
    p_secret_hash bytea default null,
    p_verified_hash text default null,
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
    v_session record;
begin
    -- The locks first, the tenant's before the invitation's as erase_tenants() takes them, then the question: whoever
    -- waited for another acceptance finds the invitation spent, and whoever waited for its maker's removal finds that
    -- it counts no longer. Nobody joins a frozen tenant.
    perform limena_private.lock_tenant(o.tenant_id) from limena_private.open_invitation(p_token_hash) as o;
    perform from limena.invitations as i where i.token_hash = p_token_hash for update;
    select o.tenant_id, o.id, o.email, o.role, o.tenant_name, o.tenant_state into v_invitation
    from limena_private.open_invitation(p_token_hash) as o;
    if not found then
        raise exception 'there is no such invitation' using errcode = 'P0002';
    end if;

    select u.id, u.email, u.display_name, u.password_hash into v_user
    from limena.users as u
    where u.email = v_invitation.email;
    select s.id, s.user_id into v_session
    from limena.sessions as s
    where s.secret_hash = p_secret_hash and s.ended_at is null and s.expires_at > clock_timestamp();
    if p_secret_hash is not null and v_session.id is null then
        raise exception 'the session is not valid' using errcode = '28000';
    end if;
    if p_secret_hash is not null and v_session.user_id is distinct from v_user.id then
        raise exception 'the invitation is for another address' using errcode = '42501';
    end if;
    if v_user.id is not null and v_session.id is null and v_user.password_hash is distinct from p_verified_hash then
        raise exception 'the password was not verified' using errcode = '28000';
    end if;

    perform limena_private.seal_context(
        p_tenant_id => null,
        p_actor_type => 'user',
        p_actor_id => coalesce(v_user.id, v_user_id),
        p_actor_label => v_invitation.email,
        p_user_id => coalesce(v_user.id, v_user_id),
        p_role => null,
        p_permissions => '{}',
        p_session_id => v_session.id,
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
        returning id, email, display_name, password_hash into v_user;
    end if;

    -- Not the transaction's beginning, which may lie before a removal that it waited for: keys of before do not come
    -- back.
    insert into limena.memberships (tenant_id, user_id, role, created_at)
    values (v_invitation.tenant_id, v_user.id, v_invitation.role, clock_timestamp());
    update limena.invitations as i
    set accepted_at = clock_timestamp()
    where i.tenant_id = v_invitation.tenant_id and i.id = v_invitation.id;
    update limena.sessions as s
    set current_tenant_id = v_invitation.tenant_id
    where s.id = v_session.id;

    return jsonb_build_object(
        'user', jsonb_build_object('id', v_user.id, 'email', v_user.email, 'display_name', v_user.display_name),
        'tenant', jsonb_build_object(
            'id', v_invitation.tenant_id, 'name', v_invitation.tenant_name, 'state', v_invitation.tenant_state
        )
    );
end;
$$;

comment on function limena.accept_invitation(bytea, text, text, bytea, text, text, inet, text) is
'Accepts an invitation by the SHA-256 of its token. p_password_hash (bcrypt) and p_display_name are for a new user; p_secret_hash (SHA-256 of a session''s secret) or p_verified_hash (the stored hash that was verified) prove an existing one. Raises P0002 when there is no open invitation, 28000 without that proof, 42501 for another person''s session, LM001 when the tenant is frozen, 23505 for a member, 22023 or 23514 for a bad value.';

grant execute on function limena.accept_invitation(bytea, text, text, bytea, text, text, inet, text) to limena_auth;
