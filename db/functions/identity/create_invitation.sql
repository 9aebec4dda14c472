-- The token is made by the caller and never comes here: only its SHA-256.
--
-- What an attacker would try: make someone more than they are, say an owner, or anyone at all with a key that may only
-- invite (refused here and, should this be left out, by invitations_insert_app).
create or replace function limena.create_invitation(p_email text, p_role text, p_token_hash bytea)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id uuid := gen_random_uuid();
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

    insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
    values (limena.current_tenant_id(), v_id, v_email, p_role::limena.member_role, p_token_hash, limena.current_user_id());

    return jsonb_build_object('id', v_id, 'email', v_email, 'role', p_role, 'created_at', now(), 'expires_at', now() + interval '7 days');
end;
$$;

comment on function limena.create_invitation(text, text, bytea) is
'Invites an address to the current tenant for 7 days. p_token_hash: SHA-256 of the token. Raises 42501 without invitations:write or a permission that the role would give, 22023 or 23514 for a bad value.';

grant execute on function limena.create_invitation(text, text, bytea) to limena_app;
