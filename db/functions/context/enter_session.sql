-- The way in for a person with an access token: its `sid` proves the session, its `tid` says in which of the person's
-- tenants.
--
-- What an attacker would try: name a tenant that is not theirs (no membership: refused); use a session that has ended,
-- or a role that was lowered, from inside an old snapshot (refused below; the role is read anew each time); hold a lock
-- that delays ending the session (none is taken on it).
--
-- SECURITY DEFINER because the caller has no context yet: the policies for limena_owner let it find session, person and
-- membership.
create or replace function limena.enter_session(
    p_secret_hash bytea,
    p_tenant_id uuid,
    p_request_id text default null,
    p_ip inet default null,
    p_user_agent text default null
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_session record;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a context is entered under READ COMMITTED only' using errcode = '25001';
    end if;

    select
        s.id,
        s.user_id,
        p.email,
        m.role,
        coalesce(t.state, 'active') as state,
        array(
            select r.permission
            from limena.role_permissions as r
            where r.role = m.role
            order by r.permission
        ) as permissions,
        coalesce(u.last_seen_at < clock_timestamp() - interval '1 minute', true) as is_use_due
    into v_session
    from limena.sessions as s
    inner join limena.users as p on s.user_id = p.id
    left join limena.session_uses as u on s.id = u.session_id
    left join (
        limena.memberships as m inner join limena.tenants as t on m.tenant_id = t.id and t.state <> 'deleted'
    ) on s.user_id = m.user_id and m.tenant_id = p_tenant_id
    where s.secret_hash = p_secret_hash
        and s.ended_at is null
        and s.expires_at > clock_timestamp();

    -- One answer for unknown, ended and expired, and for a tenant to which the person does not, or no longer, belong.
    if not found or (p_tenant_id is not null and v_session.role is null) then
        raise exception 'the session is not valid' using errcode = '28000';
    end if;

    perform limena_private.seal_context(
        p_tenant_id => p_tenant_id,
        p_actor_type => 'user',
        p_actor_id => v_session.user_id,
        p_actor_label => v_session.email,
        p_user_id => v_session.user_id,
        p_role => v_session.role,
        p_permissions => v_session.permissions,
        p_session_id => v_session.id,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent,
        p_tenant_state => v_session.state
    );

    -- Never waits: whoever holds the row is writing the same minute.
    if v_session.is_use_due and current_setting('transaction_read_only') = 'off' then
        update limena.session_uses as u
        set last_seen_at = clock_timestamp()
        from (
            select d.session_id
            from limena.session_uses as d
            where d.session_id = v_session.id
            for update skip locked
        ) as due
        where u.session_id = due.session_id;
    end if;
    return true;
end;
$$;

comment on function limena.enter_session(bytea, uuid, text, inet, text) is
'Proves a session by the SHA-256 of its secret and seals the context of the person in the tenant (NULL: in none) for this transaction. Raises 28000 when the session is unknown, ended or expired or the person no member, 25001 unless the isolation level is READ COMMITTED.';

grant execute on function limena.enter_session(bytea, uuid, text, inet, text) to limena_app;
