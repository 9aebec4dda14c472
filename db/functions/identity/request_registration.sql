-- Registration in verified mode: nothing but a mail happens before the link is followed. Known and unknown addresses
-- get a mail each, and the caller learns nothing: a known one is told that someone tried.
--
-- What an attacker would try: register somebody else's address with a password of the attacker's, and have its owner
-- follow the link ("pre-hijacking", Sudhodanan and Paverd, USENIX Security 2022). So the password counts only where the
-- link is followed by the browser that registered, which shows a secret: see verify_registration.
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.request_registration(
    p_email text,
    p_password_hash text,
    p_display_name text,
    p_tenant_name text,
    p_outbox_id uuid,
    p_token_hash bytea,
    p_registrant_hash bytea default null,
    p_request_id text default null,
    p_ip inet default null,
    p_user_agent text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_email text := lower(btrim(p_email));
    v_is_known boolean := exists (select from limena.users as u where u.email = lower(btrim(p_email)));
    v_template text := case when v_is_known then 'registration_known' else 'registration' end;
begin
    perform limena_private.seal_unauthenticated(p_request_id => p_request_id, p_ip => p_ip, p_user_agent => p_user_agent);
    -- Also for a known address, so that bad values and the time they take are the same. Its token is never sent.
    insert into limena.registrations (
        email, display_name, tenant_name, password_hash, token_hash, registrant_hash, expires_at
    )
    values (
        v_email, p_display_name, p_tenant_name, p_password_hash, p_token_hash, p_registrant_hash,
        case when v_is_known then now() else now() + interval '1 day' end
    );
    -- Nobody floods a mailbox, however many addresses they ask from: five mails an hour.
    if limena_private.is_mailbox_full(v_email, v_template) then
        return;
    end if;
    insert into limena.outbox (tenant_id, id, template, recipient, parameters, expires_at)
    values (
        limena_private.platform_tenant_id(),
        p_outbox_id,
        v_template,
        v_email,
        jsonb_build_object('display_name', p_display_name, 'tenant_name', p_tenant_name),
        now() + interval '1 day'
    );
end;
$$;

comment on function limena.request_registration(text, text, text, text, uuid, bytea, bytea, text, inet, text) is
'Keeps a registration for one day and queues a mail with its link; a known address gets another mail. p_registrant_hash: SHA-256 of a secret of the browser''s. Raises 23505 for a token or an id of a mail that was used before, 23514 for a bad value.';

grant execute on function limena.request_registration(text, text, text, text, uuid, bytea, bytea, text, inet, text)
to limena_auth;
