-- One row for an event that changes no row of an audited table. Its callers are definer procedures; who acted is the
-- sealed context's matter, never theirs.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.record_event(
    p_tenant_id uuid,
    p_action text,
    p_entity_type text default null,
    p_entity_id text default null,
    p_details jsonb default '{}'
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
    v_behalf_id uuid;
    v_behalf_label text;
begin
    if v_context ->> 'actor_type' = 'api_key' then
        select u.id, u.email into v_behalf_id, v_behalf_label from limena.users as u where u.id = (v_context ->> 'user_id')::uuid;
    end if;
    perform pg_current_xact_id();  -- before seq is drawn: what seals the log later relies on this order
    insert into limena.audit_logs (
        tenant_id, occurred_at, seq, id, action, actor_type, actor_id, actor_label, on_behalf_of_id, on_behalf_of_label,
        entity_type, entity_id, details, request_id, ip, user_agent
    )
    values (
        coalesce(p_tenant_id, limena_private.platform_tenant_id()),
        clock_timestamp(),
        nextval('limena.audit_logs_seq_seq'),
        gen_random_uuid(),
        p_action,
        coalesce(v_context ->> 'actor_type', 'system'),
        (v_context ->> 'actor_id')::uuid,
        coalesce(v_context ->> 'actor_label', session_user::text),
        v_behalf_id,
        v_behalf_label,
        p_entity_type,
        p_entity_id,
        p_details,
        v_context ->> 'request_id',
        (v_context ->> 'ip')::inet,
        v_context ->> 'user_agent'
    );
end;
$$;

comment on function limena_private.record_event(uuid, text, text, text, jsonb) is
'Writes one row to a tenant''s audit log (NULL: to the platform''s), in the name of the sealed context or else of the database login.';
