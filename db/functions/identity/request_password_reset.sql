-- p_outbox_id is made by the API, which derives the token from it and passes the token's SHA-256; the worker derives
-- the same token when it sends the mail. Known and unknown addresses leave a row in the log either way, and the caller
-- learns nothing.
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.request_password_reset(
    p_email text,
    p_outbox_id uuid,
    p_token_hash bytea,
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
    v_user record;
begin
    perform limena_private.seal_unauthenticated(p_request_id => p_request_id, p_ip => p_ip, p_user_agent => p_user_agent);
    select u.id, u.email, u.display_name into v_user
    from limena.users as u
    where u.email = lower(btrim(p_email));
    if not found then
        perform limena_private.record_event(p_tenant_id => null, p_action => 'user.password_reset_requested');
        return;
    end if;

    -- Nobody floods a mailbox, however many addresses they ask from: five mails an hour.
    if limena_private.is_mailbox_full(v_user.email, 'password_reset') then
        perform limena_private.record_user_event(
            p_user_id => v_user.id,
            p_action => 'user.password_reset_requested',
            p_entity_type => 'user',
            p_entity_id => v_user.id::text,
            p_details => jsonb_build_object('mailed', false)
        );
        return;
    end if;

    insert into limena.password_resets (user_id, token_hash) values (v_user.id, p_token_hash);
    insert into limena.outbox (tenant_id, id, template, recipient, parameters, expires_at)
    values (
        limena_private.platform_tenant_id(), p_outbox_id, 'password_reset', v_user.email,
        jsonb_build_object('display_name', v_user.display_name), now() + interval '1 hour'
    );
    perform limena_private.record_user_event(
        p_user_id => v_user.id,
        p_action => 'user.password_reset_requested',
        p_entity_type => 'user',
        p_entity_id => v_user.id::text
    );
end;
$$;

comment on function limena.request_password_reset(text, uuid, bytea, text, inet, text) is
'Queues a mail with a link that is good once, for one hour; for an unknown address nothing but a line in the log. Raises 23505 for a token or an id of a mail that was used before.';

grant execute on function limena.request_password_reset(text, uuid, bytea, text, inet, text) to limena_auth;
