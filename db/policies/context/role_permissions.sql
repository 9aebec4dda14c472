-- limena.role_permissions: who may do what, and what is recorded. Global data without secrets: no row-level security.
revoke all on limena.role_permissions from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (role, permission) on limena.role_permissions
to limena_app, limena_auth, limena_readonly, limena_maintenance;

select limena_private.audit_table(
    p_table => 'limena.role_permissions',
    p_entity_type => 'role_permission',
    p_key_columns => '{role, permission}',
    p_entity_column => 'permission',
    p_scope => 'platform',
    p_scope_column => null
);
