-- For procedures that have waited for a lock: the context tells what its credential was worth when the statement began,
-- and whoever the caller waited for may have removed or lowered them, revoked their key, ended their session, or frozen
-- the tenant. Reads all of it anew, and seals the context again with what is so now.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.prove_again()
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
    v_live record;
begin
    select
        m.role,
        t.state,
        array(
            select r.permission
            from limena.role_permissions as r
            where r.role = m.role and (k.id is null or r.permission = any (k.scopes))
            order by r.permission
        ) as permissions
    into v_live
    from limena.memberships as m
    inner join limena.tenants as t on m.tenant_id = t.id and t.state <> 'deleted'
    left join limena.sessions as s
        on s.id = (v_context ->> 'session_id')::uuid
        and s.user_id = m.user_id
        and s.ended_at is null
        and s.expires_at > clock_timestamp()
    left join limena.api_keys as k
        on v_context ->> 'actor_type' = 'api_key'
        and k.tenant_id = m.tenant_id
        and k.id = (v_context ->> 'actor_id')::uuid
        and k.created_by = m.user_id
        and k.held_since >= m.created_at
        and k.revoked_at is null
        and (k.expires_at is null or k.expires_at > clock_timestamp())
        and (k.retires_at is null or k.retires_at > clock_timestamp())
        and (t.api_keys_revoked_at is null or k.created_at > t.api_keys_revoked_at)
    where m.tenant_id = (v_context ->> 'tenant_id')::uuid
        and m.user_id = (v_context ->> 'user_id')::uuid
        and (s.id is not null or k.id is not null);
    if not found then
        raise exception 'the credential is not valid any more' using errcode = '28000';
    end if;

    perform limena_private.seal_context(
        p_tenant_id => (v_context ->> 'tenant_id')::uuid,
        p_actor_type => v_context ->> 'actor_type',
        p_actor_id => (v_context ->> 'actor_id')::uuid,
        p_actor_label => v_context ->> 'actor_label',
        p_user_id => (v_context ->> 'user_id')::uuid,
        p_role => v_live.role,
        p_permissions => v_live.permissions,
        p_session_id => (v_context ->> 'session_id')::uuid,
        p_request_id => v_context ->> 'request_id',
        p_ip => (v_context ->> 'ip')::inet,
        p_user_agent => v_context ->> 'user_agent',
        p_key_name => v_context ->> 'key_name',
        p_key_prefix => v_context ->> 'key_prefix',
        p_tenant_state => v_live.state
    );
end;
$$;

comment on function limena_private.prove_again() is
'Seals the context of whoever is in a tenant anew, with the permissions that they have at this moment. Raises 28000 when the session, the key or the membership is gone.';
