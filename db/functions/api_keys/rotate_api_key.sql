-- A new key like the old one, which works on for the grace. The new one is the caller's: it is made as any key is, so
-- that nobody gets, by rotating it, a key with more than they hold. Of two rotations at once one is refused.
create or replace function limena.rotate_api_key(
    p_id uuid,
    p_prefix text,
    p_last_four text,
    p_key_hash bytea,
    p_grace_seconds integer default 86400
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old record;
    v_new jsonb;
begin
    perform limena.require('api_keys:write');
    if p_grace_seconds is null or p_grace_seconds not between 0 and 2592000 then
        raise exception 'must be from 0 to 2592000, which is 30 days' using errcode = '22023', column = 'grace_seconds';
    end if;

    select k.name, k.scopes, k.calls_per_minute, k.expires_at - k.created_at as lifetime into v_old
    from limena.api_keys as k
    where k.tenant_id = (select limena.current_tenant_id()) and k.id = p_id;
    if not found then
        raise exception 'no such API key' using errcode = 'P0002';
    end if;

    v_new := limena.create_api_key(
        p_name => v_old.name,
        p_scopes => v_old.scopes,
        p_prefix => p_prefix,
        p_last_four => p_last_four,
        p_key_hash => p_key_hash,
        p_expires_at => now() + v_old.lifetime,
        p_calls_per_minute => v_old.calls_per_minute
    );
    return v_new || jsonb_build_object(
        'replaces', jsonb_build_object(
            'id', p_id,
            'retires_at', limena.retire_api_key(
                p_id => p_id, p_replaced_by => (v_new ->> 'id')::uuid, p_grace_seconds => p_grace_seconds
            )
        )
    );
end;
$$;

comment on function limena.rotate_api_key(uuid, text, text, bytea, integer) is
'Replaces an API key of the current tenant by a new one with its name, scopes, rate and length of life; the old one works on for the grace (30 days at most). Raises 42501 without api_keys:write or one of the scopes, P0002 when there is none, LM002 when it has ended or was rotated before.';

grant execute on function limena.rotate_api_key(uuid, text, text, bytea, integer) to limena_app;
