-- limena.permissions: who may do what, and what is recorded. Global data without secrets: no row-level security.
revoke all on limena.permissions from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (name, description, works_when_frozen) on limena.permissions to limena_app,
limena_auth,
limena_readonly,
limena_maintenance;

select limena_private.audit_table(
    p_table => 'limena.permissions',
    p_entity_type => 'permission',
    p_key_columns => '{name}',
    p_entity_column => 'name',
    p_scope => 'platform',
    p_scope_column => null
);
