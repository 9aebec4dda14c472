-- Sets the context for the rest of this transaction and seals it. The only writer of app.seal; its callers have proved
-- a credential.
--
-- In a tenant that is not active, the permissions that change something are withheld: they stand apart, where no policy
-- and no procedure that asks for a permission finds them. So freezing is enforced by whatever asks; what must work all
-- the same (a leaked key is revoked in a frozen tenant too) asks tenant_even_frozen().
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.seal_context(
    p_tenant_id uuid,
    p_actor_type text,
    p_actor_id uuid,
    p_actor_label text,
    p_user_id uuid,
    p_role limena.member_role,
    p_permissions text[],
    p_session_id uuid,
    p_request_id text,
    p_ip inet,
    p_user_agent text,
    p_key_name text default null,
    p_key_prefix text default null,
    p_tenant_state text default 'active'
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id text := coalesce(p_tenant_id::text, '');
    v_permissions text[] := coalesce(p_permissions, '{}');
    v_withheld text[] := '{}';
    v_context text;
begin
    if p_tenant_state is distinct from 'active' then
        v_withheld := array(
            select w.name from unnest(v_permissions) as w (name)
            where not exists (select from limena.permissions as p where p.name = w.name and p.works_when_frozen)
            order by w.name
        );
        v_permissions := array(select h.name from unnest(v_permissions) as h (name) where h.name <> all (v_withheld) order by h.name);
    end if;
    v_context := json_build_object(
        'tenant_id', p_tenant_id,
        'actor_type', p_actor_type,
        'actor_id', p_actor_id,
        'actor_label', p_actor_label,
        'user_id', p_user_id,
        'role', p_role,
        'permissions', v_permissions,
        'withheld', v_withheld,
        'session_id', p_session_id,
        'request_id', left(p_request_id, 64),
        'ip', host(p_ip),
        'user_agent', left(p_user_agent, 512),
        'key_name', p_key_name,
        'key_prefix', p_key_prefix
    )::text;

    -- The secret stays a column. As a variable it would be a constant of the plan, and debug_print_plan shows that to
    -- any caller.
    perform
        set_config('app.current_tenant_id', v_tenant_id, true),
        set_config('app.context', v_context, true),
        set_config('app.seal', encode(limena_private.seal(k.secret, v_tenant_id, v_context), 'hex'), true)
    from limena_private.seal_keys as k;
    if not found then
        raise exception 'there is no key to seal a context with' using errcode = '55000';
    end if;
end;
$$;

comment on function limena_private.seal_context(
    uuid, text, uuid, text, uuid, limena.member_role, text[], uuid, text, inet, text, text, text, text
) is
'Seals a context for this transaction. p_tenant_id NULL: someone is known, but in no tenant. p_tenant_state: in another one than active, permissions that change something are withheld.';
