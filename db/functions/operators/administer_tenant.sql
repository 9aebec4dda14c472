-- What a platform admin does to a tenant: one action, with a reason, in the tenant's own log and in the platform's.
--
-- What an attacker would try: act as someone who was an admin (session and flag are read anew, here); reach it with
-- SQL of their own in a tenant's context (limena_app cannot call it, whoever's context it is); act on the reserved
-- tenant (none of the actions finds it).
--
-- SECURITY DEFINER because it proves a session and writes what no role may. For limena_auth alone.
create or replace function limena.administer_tenant(
    p_secret_hash bytea,
    p_tenant_id uuid,
    p_action text,
    p_reason text,
    p_calls_per_hour integer default null,
    p_tokens_per_month bigint default null,
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
    v_person record;
begin
    select s.id as session_id, u.id, u.email, u.is_platform_admin into v_person
    from limena.sessions as s
    inner join limena.users as u on s.user_id = u.id
    where s.secret_hash = p_secret_hash and s.ended_at is null and s.expires_at > clock_timestamp();
    if not found then
        raise exception 'the session is not valid' using errcode = '28000';
    end if;
    if not v_person.is_platform_admin then
        raise exception 'permission denied' using errcode = '42501';
    end if;
    if not limena_private.is_reason(p_reason, 1) then
        raise exception 'must say why, in 1 to 500 characters' using errcode = '22023', column = 'reason';
    end if;
    if p_calls_per_hour is not null and p_action <> 'set-ai-limits' then
        raise exception 'belongs to set-ai-limits' using errcode = '22023', column = 'calls_per_hour';
    end if;
    if p_tokens_per_month is not null and p_action <> 'set-ai-limits' then
        raise exception 'belongs to set-ai-limits' using errcode = '22023', column = 'tokens_per_month';
    end if;
    if p_action = 'set-ai-limits' and p_calls_per_hour is null and p_tokens_per_month is null then
        raise exception 'is needed, or tokens_per_month' using errcode = '22023', column = 'calls_per_hour';
    end if;

    perform limena_private.seal_context(
        p_tenant_id => null,
        p_actor_type => 'operator',
        p_actor_id => v_person.id,
        p_actor_label => v_person.email,
        p_user_id => v_person.id,
        p_role => null,
        p_permissions => '{}',
        p_session_id => v_person.session_id,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent
    );
    case p_action
        when 'freeze' then perform limena_private.freeze_tenant(p_tenant_id, p_reason);
        when 'unfreeze' then perform limena_private.unfreeze_tenant(p_tenant_id, p_reason);
        when 'revoke-api-keys' then perform limena_private.revoke_api_keys(p_tenant_id, p_reason);
        when 'disable-ai' then perform limena_private.administer_ai(p_tenant_id, p_reason, p_is_allowed => false);
        when 'enable-ai' then perform limena_private.administer_ai(p_tenant_id, p_reason, p_is_allowed => true);
        when 'set-ai-limits' then perform limena_private.administer_ai(
            p_tenant_id, p_reason, p_calls_per_hour => p_calls_per_hour, p_tokens_per_month => p_tokens_per_month
        );
        when 'reset-ai-quota' then perform limena_private.administer_ai(p_tenant_id, p_reason, p_resets => true);
        else raise exception 'no such action' using errcode = 'P0002';
    end case;
    perform limena_private.record_event(
        p_tenant_id => null,
        p_action => 'platform.tenant_administered',
        p_entity_type => 'tenant',
        p_entity_id => p_tenant_id::text,
        p_details => jsonb_strip_nulls(jsonb_build_object(
            'action', p_action, 'reason', p_reason, 'calls_per_hour', p_calls_per_hour, 'tokens_per_month', p_tokens_per_month
        ))
    );
end;
$$;

comment on function limena.administer_tenant(bytea, uuid, text, text, integer, bigint, text, inet, text) is
'Does freeze, unfreeze, disable-ai, enable-ai, revoke-api-keys, reset-ai-quota or set-ai-limits to a tenant, in the name of the platform admin whose session this is. Raises 28000 when the session is not valid, 42501 when the person is no platform admin, P0002 for a tenant or an action that does not exist, 22023 for a bad value.';

grant execute on function limena.administer_tenant(
    bytea, uuid, text, text, integer, bigint, text, inet, text
) to limena_auth;
