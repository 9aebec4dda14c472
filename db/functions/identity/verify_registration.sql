-- Makes the user and the tenant, as register_user does. Of two uses of one token at once, the second finds it used (the
-- row is locked); of two registrations of one address, the second finds the address taken.
--
-- The link proves who reads the mailbox, and not who chose the password. Either the browser shows the secret that it
-- got when it registered, and the password of then counts; or whoever follows the link chooses one now, and the other
-- is forgotten. A stranger who registered the address has neither the mail nor a password that works.
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.verify_registration(
    p_token_hash bytea,
    p_registrant_hash bytea default null,
    p_new_hash text default null,
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
    v_registration limena.registrations;
    v_password_hash text;
    v_result jsonb;
begin
    select r.* into v_registration
    from limena.registrations as r
    where r.token_hash = p_token_hash and r.used_at is null and r.expires_at > clock_timestamp()
    for update;
    if not found then
        raise exception 'there is no such registration' using errcode = 'P0002';
    end if;
    v_password_hash := coalesce(
        p_new_hash,
        case when v_registration.registrant_hash = p_registrant_hash then v_registration.password_hash end
    );
    if v_password_hash is null then
        raise exception 'is needed: the link was opened in another browser than the one that registered'
            using errcode = '22023', column = 'password';
    end if;
    v_result := limena.register_user(
        p_email => v_registration.email,
        p_password_hash => v_password_hash,
        p_display_name => v_registration.display_name,
        p_tenant_name => v_registration.tenant_name,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent
    );
    update limena.registrations as r
    set used_at = clock_timestamp(), password_hash = null
    where r.id = v_registration.id;
    return v_result || jsonb_build_object('password_hash', v_password_hash);
end;
$$;

comment on function limena.verify_registration(bytea, bytea, text, text, inet, text) is
'Makes the account of a registration by the SHA-256 of its token: {user, tenant, password_hash}, the last for log_in. p_registrant_hash: SHA-256 of the secret of the browser that registered; without it p_new_hash, a new bcrypt hash, is needed. Raises 22023 when neither is right, P0002 when the token is unknown, used or over, 23505 when the address has an account by now.';

grant execute on function limena.verify_registration(bytea, bytea, text, text, inet, text) to limena_auth;
