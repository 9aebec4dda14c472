-- One row in the platform's log when a rotation begins and when it ends; each credential's change is in its tenant's.
--
-- SECURITY DEFINER because limena_maintenance may not insert into audit_logs.
create or replace function limena.record_master_key_rotation(
    p_key_version integer, p_resealed integer default null, p_unreadable integer default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena_private.record_event(
        p_tenant_id => null,
        p_action => case when p_resealed is null then 'master_key.rotation_begun' else 'master_key.rotated' end,
        p_entity_type => 'master_key',
        p_entity_id => p_key_version::text,
        p_details => jsonb_strip_nulls(jsonb_build_object('resealed', p_resealed, 'unreadable', p_unreadable))
    );
end;
$$;

comment on function limena.record_master_key_rotation(integer, integer, integer) is
'Records that a rotation to a version of the master key begins (p_resealed: null), or what it did.';

grant execute on function limena.record_master_key_rotation(integer, integer, integer) to limena_maintenance;
