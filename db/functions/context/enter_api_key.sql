-- The way in for a caller who shows an API key.
--
-- What an attacker would try: name a tenant instead of proving one (there is no parameter for it); pass on a hash read
-- from the table (no role may read key_hash); use a key revoked a moment ago from inside an old snapshot (refused
-- below); bring back a context that was sealed for someone else (the seal binds backend and transaction); hold a lock
-- that delays revocation (none is taken on the key); leave out the counting of a key that has a rate (refused below).
--
-- SECURITY DEFINER because the caller has no context yet: the policies for limena_owner let it find the key, its
-- creator and the tenant.
create or replace function limena.enter_api_key(
    p_key_hash bytea,
    p_request_id text default null,
    p_ip inet default null,
    p_user_agent text default null,
    p_call_id uuid default null
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key record;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a context is entered under READ COMMITTED only' using errcode = '25001';
    end if;

    -- The creator's membership is read anew: a key loses what its creator loses, all of it when the creator leaves.
    select
        k.tenant_id,
        k.id,
        k.created_by,
        k.name,
        k.prefix,
        k.last_four,
        k.calls_per_minute,
        m.role,
        t.state,
        array(
            select r.permission
            from limena.role_permissions as r
            where r.role = m.role and r.permission = any (k.scopes)
            order by r.permission
        ) as permissions,
        coalesce(u.last_used_at < clock_timestamp() - interval '1 minute', true) as is_use_due
    into v_key
    from limena.api_keys as k
    inner join limena.memberships as m on k.tenant_id = m.tenant_id and k.created_by = m.user_id
    inner join limena.tenants as t on k.tenant_id = t.id
    left join limena.api_key_uses as u on k.tenant_id = u.tenant_id and k.id = u.api_key_id
    where k.key_hash = p_key_hash
        and k.revoked_at is null
        and (k.expires_at is null or k.expires_at > clock_timestamp())
        and (k.retires_at is null or k.retires_at > clock_timestamp())
        -- Not one that this transaction made: it could be rolled back, and the log would tell of a key that never was.
        and k.created_at < transaction_timestamp()
        and t.state <> 'deleted'
        -- Nor one that was being made while its creator left or all were revoked: see limena_private.admit_api_key().
        and k.held_since >= m.created_at
        and (t.api_keys_revoked_at is null or k.created_at > t.api_keys_revoked_at);

    -- One answer for unknown, revoked and expired: which of them it was is nobody's business but the audit log's.
    if not found then
        raise exception 'the API key is not valid' using errcode = '28000';
    end if;
    -- The API then counts the call, and comes back. Only keys that have a rate cost that.
    if v_key.calls_per_minute is not null
        and (p_call_id is null or p_call_id::text is distinct from current_setting('app.counted_call', true)) then
        raise exception 'the call was not counted' using errcode = 'LM005';
    end if;

    perform limena_private.seal_context(
        p_tenant_id => v_key.tenant_id,
        p_actor_type => 'api_key',
        p_actor_id => v_key.id,
        p_actor_label => v_key.name || ' (' || v_key.prefix || '…' || v_key.last_four || ')',
        p_user_id => v_key.created_by,
        p_role => v_key.role,
        p_permissions => v_key.permissions,
        p_session_id => null,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent,
        p_key_name => v_key.name,
        p_key_prefix => v_key.prefix,
        p_tenant_state => v_key.state
    );

    -- Never waits: whoever holds the row is writing the same minute.
    if v_key.is_use_due and current_setting('transaction_read_only') = 'off' then
        update limena.api_key_uses as u
        set last_used_at = clock_timestamp()
        from (
            select d.tenant_id, d.api_key_id
            from limena.api_key_uses as d
            where d.tenant_id = v_key.tenant_id and d.api_key_id = v_key.id
            for update skip locked
        ) as due
        where u.tenant_id = due.tenant_id and u.api_key_id = due.api_key_id;
    end if;
    return true;
end;
$$;

comment on function limena.enter_api_key(bytea, text, inet, text, uuid) is
'Proves an API key by its SHA-256 and seals the tenant context for this transaction. Raises 28000 when the key is unknown, revoked, retired or expired or its creator has left, LM005 when it has a rate and no call was counted under p_call_id, 25001 unless the isolation level is READ COMMITTED.';

grant execute on function limena.enter_api_key(bytea, text, inet, text, uuid) to limena_app;
