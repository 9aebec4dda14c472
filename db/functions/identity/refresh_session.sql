-- One refresh token for the next. The successor's jti is an HMAC of its parent's under a key of the API's, so two tabs
-- that show the same token get the same successor, and no token is kept here to be given out again.
--
-- What an attacker would try: use a stolen token that its owner has used (after 10 seconds it ends the whole family,
-- and says so in the log, were the token over by then or not; this commits, and so returns a result and does not
-- raise); race the owner (the parent's row
-- is locked: one rotation, whoever comes first); extend a session for ever (no successor outlives the session, 30 days
-- from log-in).
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.refresh_session(
    p_token_hash bytea,
    p_successor_hash bytea,
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
    v_token record;
    v_session record;
    v_successor record;
begin
    select r.id, r.session_id, r.expires_at, r.spent_at into v_token
    from limena.refresh_tokens as r
    where r.token_hash = p_token_hash
    for update;
    if not found then
        raise exception 'the refresh token is not valid' using errcode = '28000';
    end if;

    -- After the lock: whatever ended the session before is seen.
    select s.id, s.user_id, s.secret_hash, s.current_tenant_id, s.expires_at, u.email into v_session
    from limena.sessions as s
    inner join limena.users as u on s.user_id = u.id
    where s.id = v_token.session_id and s.ended_at is null and s.expires_at > clock_timestamp();
    -- A spent one that is over tells of a thief as well as one that is not.
    if not found or (v_token.expires_at <= clock_timestamp() and v_token.spent_at is null) then
        raise exception 'the refresh token is not valid' using errcode = '28000';
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

    if v_token.spent_at <= clock_timestamp() - interval '10 seconds' then
        update limena.sessions as s
        set ended_at = clock_timestamp()
        where s.id = v_session.id and s.ended_at is null;
        perform limena_private.record_user_event(
            p_user_id => v_session.user_id,
            p_action => 'session.refresh_reused',
            p_entity_type => 'session',
            p_entity_id => v_session.id::text
        );
        return jsonb_build_object('outcome', 'reused');
    end if;

    if v_token.spent_at is null then
        update limena.refresh_tokens as r
        set spent_at = clock_timestamp()
        where r.id = v_token.id;
        insert into limena.refresh_tokens (session_id, user_id, token_hash, issued_at, expires_at)
        values (
            v_session.id,
            v_session.user_id,
            p_successor_hash,
            date_trunc('second', clock_timestamp()),
            least(date_trunc('second', clock_timestamp()) + interval '7 days', date_trunc('second', v_session.expires_at))
        );
        update limena.session_uses as u
        set last_seen_at = clock_timestamp()
        where u.session_id = v_session.id;
    end if;

    -- The times are stored, so that the same successor is signed to the same bytes.
    select r.issued_at, r.expires_at, r.spent_at into v_successor
    from limena.refresh_tokens as r
    where r.token_hash = p_successor_hash and r.session_id = v_session.id;
    if not found then
        raise exception 'the refresh token is not valid' using errcode = '28000';
    end if;
    return jsonb_build_object(
        -- A successor that is spent is given to nobody: shown later, it would end the session of whoever obeyed.
        'outcome', case
            when v_token.spent_at is null then 'rotated' when v_successor.spent_at is null then 'repeated' else 'superseded'
        end,
        'user_id', v_session.user_id,
        -- Nobody enters a deleted tenant: a token that led there would be refused.
        'tenant_id', (select t.id from limena.tenants as t where t.id = v_session.current_tenant_id and t.state <> 'deleted'),
        'issued_at', extract(epoch from v_successor.issued_at)::bigint,
        'expires_at', extract(epoch from v_successor.expires_at)::bigint
    );
end;
$$;

comment on function limena.refresh_session(bytea, bytea, text, inet, text) is
'Exchanges a refresh token for its successor (SHA-256 of both jti). outcome: rotated, repeated (shown again within 10 seconds), superseded (so, and its successor was used as well: there is a newer one) or reused (later: the session has been ended). Times are seconds since the epoch. Raises 28000 for a token that is unknown or over.';

grant execute on function limena.refresh_session(bytea, bytea, text, inet, text) to limena_auth;
