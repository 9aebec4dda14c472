-- p_old_hash says which hash was verified: of two changes at once the second finds another hash, and is refused.
--
-- SECURITY DEFINER because no role may write users. For limena_auth alone.
create or replace function limena.change_password(
    p_secret_hash bytea,
    p_old_hash text,
    p_new_hash text,
    p_device_hash bytea default null,
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
    v_session record;
begin
    select s.id, s.user_id, u.email into v_session
    from limena.sessions as s
    inner join limena.users as u on s.user_id = u.id
    where s.secret_hash = p_secret_hash and s.ended_at is null and s.expires_at > clock_timestamp();
    if not found then
        raise exception 'the session is not valid' using errcode = '28000';
    end if;

    perform limena_private.seal_context(
        p_tenant_id => null,
        p_actor_type => 'user',
        p_actor_id => v_session.user_id,
        p_actor_label => v_session.email,
        p_user_id => v_session.user_id,
        p_role => null,
        p_permissions => '{}',
        p_session_id => v_session.id,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent
    );
    perform limena_private.take_back_attempt(
        p_email => v_session.email, p_ip => p_ip, p_device_hash => p_device_hash
    );
    update limena.users as u
    set password_hash = p_new_hash, password_changed_at = clock_timestamp()
    where u.id = v_session.user_id and u.password_hash = p_old_hash;
    if not found then
        raise exception 'the password was changed meanwhile' using errcode = '28000';
    end if;
    update limena.sessions as s
    set ended_at = clock_timestamp()
    where s.user_id = v_session.user_id and s.id <> v_session.id and s.ended_at is null;
    update limena.password_resets as r
    set used_at = clock_timestamp()
    where r.user_id = v_session.user_id and r.used_at is null;
end;
$$;

comment on function limena.change_password(bytea, text, text, bytea, text, inet, text) is
'Sets a new bcrypt hash in place of the one that was verified, and ends the person''s other sessions and open resets. Raises 28000 when the session is over or the hash no longer current.';

grant execute on function limena.change_password(bytea, text, text, bytea, text, inet, text) to limena_auth;
