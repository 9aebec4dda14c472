-- A session for someone whose password was just verified. p_password_hash says against what: had the password been
-- changed meanwhile, the old one no longer logs in. A change that comes a moment later waits for this transaction (FOR
-- SHARE), and then ends this session too.
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.log_in(
    p_user_id uuid,
    p_password_hash text,
    p_secret_hash bytea,
    p_refresh_hash bytea,
    p_tenant_id uuid default null,
    p_device_hash bytea default null,
    p_was_counted boolean default true,
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
    v_user record;
    v_tenant record;
    v_session_id uuid := gen_random_uuid();
begin
    select u.id, u.email, u.display_name into v_user
    from limena.users as u
    where u.id = p_user_id and u.password_hash = p_password_hash
    for share;
    if not found then
        raise exception 'the log-in is not valid' using errcode = '28000';
    end if;

    -- Where they ask to be; else where they were last; else where they have been longest.
    select t.id, t.name, t.state into v_tenant
    from limena.memberships as m
    inner join limena.tenants as t on m.tenant_id = t.id and t.state <> 'deleted'
    where m.user_id = v_user.id and (p_tenant_id is null or m.tenant_id = p_tenant_id)
    order by
        (
            select max(s.created_at)
            from limena.sessions as s
            where s.user_id = m.user_id and s.current_tenant_id = m.tenant_id
        ) desc nulls last,
        m.created_at,
        m.tenant_id
    limit 1;
    if p_tenant_id is not null and v_tenant.id is null then
        raise exception 'no such tenant' using errcode = 'P0002';
    end if;

    if p_was_counted then
        perform limena_private.take_back_attempt(
            p_email => v_user.email, p_ip => p_ip, p_device_hash => p_device_hash
        );
    end if;

    perform limena_private.seal_context(
        p_tenant_id => null,
        p_actor_type => 'user',
        p_actor_id => v_user.id,
        p_actor_label => v_user.email,
        p_user_id => v_user.id,
        p_role => null,
        p_permissions => '{}',
        p_session_id => v_session_id,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent
    );
    insert into limena.sessions (id, user_id, secret_hash, current_tenant_id, ip, user_agent)
    values (v_session_id, v_user.id, p_secret_hash, v_tenant.id, p_ip, left(p_user_agent, 512));
    insert into limena.session_uses (session_id, user_id) values (v_session_id, v_user.id);
    insert into limena.refresh_tokens (session_id, user_id, token_hash) values (v_session_id, v_user.id, p_refresh_hash);

    return jsonb_build_object(
        'user', jsonb_build_object('id', v_user.id, 'email', v_user.email, 'display_name', v_user.display_name),
        'tenant', case when v_tenant.id is not null then jsonb_build_object('id', v_tenant.id, 'name', v_tenant.name, 'state', v_tenant.state) end
    );
end;
$$;

comment on function limena.log_in(uuid, text, bytea, bytea, uuid, bytea, boolean, text, inet, text) is
'Opens a session for 30 days with a first refresh token for 7. p_password_hash: the stored hash that was verified; p_secret_hash, p_refresh_hash: SHA-256 of the session''s secret and of the refresh token''s jti; p_device_hash: what begin_log_in was told; p_was_counted: false where begin_log_in was not called, as after a registration. Raises 28000 when the hash is no longer current, P0002 when the user is not in p_tenant_id.';

grant execute on function limena.log_in(uuid, text, bytea, bytea, uuid, bytea, boolean, text, inet, text)
to limena_auth;
