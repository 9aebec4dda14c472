-- The key itself is made by the caller and never comes here: only its SHA-256, and what of it may be shown.
--
-- What an attacker would try: give a key more than they hold (refused here and, should this be left out, by
-- api_keys_insert_app).
create or replace function limena.create_api_key(
    p_name text,
    p_scopes text[],
    p_prefix text,
    p_last_four text,
    p_key_hash bytea,
    p_expires_at timestamptz default null,
    p_calls_per_minute integer default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.current_tenant_id();
    v_id uuid := gen_random_uuid();
    v_scopes text[] := array(select distinct s.name from unnest(p_scopes) as s (name) order by s.name);
    v_unknown text;
    v_missing text;
begin
    if coalesce(cardinality(v_scopes), 0) = 0 then
        raise exception 'at least one scope is needed' using errcode = '22023', column = 'scopes';
    end if;
    if cardinality(v_scopes) <> cardinality(p_scopes) then
        raise exception 'a scope is named twice' using errcode = '22023', column = 'scopes';
    end if;
    select s.name into v_unknown
    from unnest(v_scopes) as s (name)
    where not exists (select from limena.permissions as p where p.name = s.name)
    limit 1;
    if found then
        raise exception 'there is no such scope' using errcode = '22023', column = 'scopes';
    end if;
    if p_expires_at <= now() then
        raise exception 'must be in the future' using errcode = '22023', column = 'expires_at';
    end if;
    if p_calls_per_minute not between 1 and 100000 then
        raise exception 'must be from 1 to 100000' using errcode = '22023', column = 'calls_per_minute';
    end if;

    perform limena.require('api_keys:write');
    for v_missing in select s.name from unnest(v_scopes) as s (name) loop
        perform limena.require(v_missing);
    end loop;

    -- No RETURNING: a caller with api_keys:write alone may make keys. The rest is limena_private.admit_api_key()'s.
    insert into limena.api_keys (
        tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by, expires_at, calls_per_minute
    )
    values (
        v_tenant_id, v_id, p_name, p_prefix, p_last_four, v_scopes, p_key_hash, limena.current_user_id(), p_expires_at,
        p_calls_per_minute
    );

    return jsonb_build_object(
        'id', v_id,
        'name', p_name,
        'prefix', p_prefix,
        'last_four', p_last_four,
        'scopes', to_jsonb(v_scopes),
        'created_by', limena.current_user_id(),
        'created_at', now(),
        'expires_at', p_expires_at,
        'calls_per_minute', p_calls_per_minute,
        'retires_at', null,
        'last_used_at', null,
        'revoked_at', null
    );
end;
$$;

comment on function limena.create_api_key(text, text[], text, text, bytea, timestamptz, integer) is
'Creates an API key of the current tenant. Scopes are permission names, each one that the caller holds; without p_expires_at the key does not expire, without p_calls_per_minute it is used as often as it likes. Raises 42501 without api_keys:write or one of the scopes, 22023 or 23514 for a bad value.';

grant execute on function limena.create_api_key(text, text[], text, text, bytea, timestamptz, integer) to limena_app;
