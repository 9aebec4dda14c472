-- Ends every session: whoever lost their password may have lost more. Of two uses at once, the second finds the
-- token used: the person is locked first, as change_password does, so that two tokens of one person do not deadlock.
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.reset_password(
    p_token_hash bytea,
    p_new_hash text,
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
    v_reset record;
begin
    select r.id, r.user_id, u.email into v_reset
    from limena.password_resets as r
    inner join limena.users as u on r.user_id = u.id
    where r.token_hash = p_token_hash and r.used_at is null and r.expires_at > clock_timestamp()
    for no key update of u;
    if not found then
        raise exception 'there is no such reset' using errcode = 'P0002';
    end if;
    -- Now that the person is locked: whoever came first has used it up.
    perform from limena.password_resets as r where r.id = v_reset.id and r.used_at is null;
    if not found then
        raise exception 'there is no such reset' using errcode = 'P0002';
    end if;

    perform limena_private.seal_context(
        p_tenant_id => null,
        p_actor_type => 'user',
        p_actor_id => v_reset.user_id,
        p_actor_label => v_reset.email,
        p_user_id => v_reset.user_id,
        p_role => null,
        p_permissions => '{}',
        p_session_id => null,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent
    );
    update limena.password_resets as r
    set used_at = clock_timestamp()
    where r.user_id = v_reset.user_id and r.used_at is null;
    update limena.users as u
    set password_hash = p_new_hash, password_changed_at = clock_timestamp()
    where u.id = v_reset.user_id;
    update limena.sessions as s
    set ended_at = clock_timestamp()
    where s.user_id = v_reset.user_id and s.ended_at is null;
    perform limena_private.record_user_event(
        p_user_id => v_reset.user_id,
        p_action => 'user.password_reset',
        p_entity_type => 'user',
        p_entity_id => v_reset.user_id::text
    );
end;
$$;

comment on function limena.reset_password(bytea, text, text, inet, text) is
'Sets a new bcrypt hash by the SHA-256 of a reset token, uses up the person''s tokens and ends all their sessions. Raises P0002 when the token is unknown, used or over.';

grant execute on function limena.reset_password(bytea, text, text, inet, text) to limena_auth;
