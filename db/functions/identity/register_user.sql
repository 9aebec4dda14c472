-- A new person, and a tenant of which they are the owner (without p_tenant_name: in none).
--
-- SECURITY DEFINER because it comes before a tenant is known. For limena_auth alone.
create or replace function limena.register_user(
    p_email text,
    p_password_hash text,
    p_display_name text,
    p_tenant_name text default null,
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
    v_user_id uuid := gen_random_uuid();
    v_tenant_id uuid := gen_random_uuid();
    v_email text := lower(btrim(p_email));
    v_tenant jsonb;
begin
    perform limena_private.seal_context(
        p_tenant_id => null,
        p_actor_type => 'user',
        p_actor_id => v_user_id,
        p_actor_label => v_email,
        p_user_id => v_user_id,
        p_role => null,
        p_permissions => '{}',
        p_session_id => null,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent
    );
    insert into limena.users (id, email, display_name, password_hash)
    values (v_user_id, v_email, p_display_name, p_password_hash);

    if p_tenant_name is not null then
        insert into limena.tenants (id, name) values (v_tenant_id, p_tenant_name)
        returning jsonb_build_object('id', id, 'name', name, 'state', state) into v_tenant;
        insert into limena.memberships (tenant_id, user_id, role) values (v_tenant_id, v_user_id, 'owner');
    end if;

    return jsonb_build_object(
        'user', jsonb_build_object('id', v_user_id, 'email', v_email, 'display_name', p_display_name),
        'tenant', v_tenant
    );
end;
$$;

comment on function limena.register_user(text, text, text, text, text, inet, text) is
'Creates a user and, with p_tenant_name, a tenant that the user owns. p_password_hash: bcrypt. Raises 23505 for a known address, 23502 or 23514 for a bad value.';

grant execute on function limena.register_user(text, text, text, text, text, inet, text) to limena_auth;
