-- The token is made by the caller and never comes here: only its SHA-256. With p_id the mail goes out, whose token the
-- worker derives from that id; without, the caller delivers it.
--
-- What an attacker would try: make someone more than they are, say an owner, or anyone at all with a key that may only
-- invite (refused here and, should this be left out, by invitations_insert_app).
create or replace function limena.create_invitation(
    p_email text, p_role text, p_token_hash bytea, p_id uuid default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id uuid := coalesce(p_id, gen_random_uuid());
    v_email text := lower(btrim(p_email));
    v_permission text;
begin
    if p_role is null or p_role <> all (enum_range(null::limena.member_role)::text[]) then
        raise exception 'there is no such role' using errcode = '22023', column = 'role';
    end if;

    perform limena.require('invitations:write');
    for v_permission in select r.permission from limena.role_permissions as r where r.role::text = p_role loop
        perform limena.require(v_permission);
    end loop;

    -- One link counts: the latest.
    update limena.invitations as i
    set withdrawn_at = clock_timestamp()
    where i.tenant_id = (select limena.current_tenant_id()) and i.email = v_email;
    insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
    values (limena.current_tenant_id(), v_id, v_email, p_role::limena.member_role, p_token_hash, limena.current_user_id());
    if p_id is not null then
        perform limena.mail_invitation(p_id);
    end if;

    return jsonb_build_object(
        'id', v_id,
        'email', v_email,
        'role', p_role,
        'invited_by', limena.current_user_id(),
        'created_at', now(),
        'expires_at', now() + interval '7 days'
    );
end;
$$;

comment on function limena.create_invitation(text, text, bytea, uuid) is
'Invites an address to the current tenant for 7 days, in place of an open invitation to it. p_token_hash: SHA-256 of the token. Raises 42501 without invitations:write or a permission that the role would give, LM002 for a member, LM004 after too many mails, 23505 for a token or an id that was used before, 22023 or 23514 for a bad value.';

grant execute on function limena.create_invitation(text, text, bytea, uuid) to limena_app;
