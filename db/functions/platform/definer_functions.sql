-- The list of SECURITY DEFINER functions. self_check() refuses a deploy with one that is not on it; the reason stands
-- in the head of each function's file.
create or replace view limena_private.definer_functions
with (security_invoker = true) as
select
    f.name,
    f.granted_to
from (
    values
    ('limena.enter_api_key', 'limena_app'),
    ('limena.enter_session', 'limena_app'),
    ('limena.current_tenant_id', 'limena_app'),
    ('limena.current_user_id', 'limena_app'),
    ('limena.tenant_with', 'limena_app'),
    ('limena.tenant_even_frozen', 'limena_app'),
    ('limena.is_withheld', 'limena_app'),
    ('limena.holds', 'limena_app'),
    ('limena.current_permissions', 'limena_app'),
    ('limena.current_context', 'limena_app'),
    ('limena.current_session_id', 'limena_app'),
    ('limena.current_session_user_id', 'limena_app'),
    ('limena.has_permission', 'limena_app'),
    ('limena.record_denial', 'limena_app'),
    ('limena.find_people', 'limena_app'),
    ('limena.list_tenants', 'limena_app'),
    ('limena.register_user', 'limena_auth'),
    ('limena.accept_invitation', 'limena_auth'),
    ('limena.begin_log_in', 'limena_auth'),
    ('limena.refresh_session', 'limena_auth'),
    ('limena.find_password', 'limena_auth'),
    ('limena.change_password', 'limena_auth'),
    ('limena.rehash_password', 'limena_auth'),
    ('limena.request_password_reset', 'limena_auth'),
    ('limena.find_password_reset', 'limena_auth'),
    ('limena.reset_password', 'limena_auth'),
    ('limena.request_registration', 'limena_auth'),
    ('limena.verify_registration', 'limena_auth'),
    ('limena.log_in', 'limena_auth'),
    ('limena.record_failed_log_in', 'limena_auth'),
    ('limena.covered_tenant_id', 'limena_readonly'),
    ('limena.covers_all', 'limena_readonly'),
    ('limena.covered_from', 'limena_readonly'),
    ('limena.covered_to', 'limena_readonly'),
    ('limena.covered_people', 'limena_readonly'),
    ('limena.open_access', 'limena_readonly'),
    ('limena.open_access_as', 'limena_readonly'),
    ('limena.resume_access', 'limena_readonly'),
    ('limena.close_access', 'limena_readonly'),
    ('limena.ensure_partitions', 'limena_maintenance'),
    ('limena.announcements', 'limena_app, limena_readonly'),
    ('limena.export_audit_logs', 'limena_app'),
    ('limena.exported_tenant_id', 'limena_app, limena_readonly'),
    ('limena.seal_audit_log', 'limena_maintenance'),
    ('limena.apply_retention', 'limena_maintenance'),
    ('limena.verify_audit_log', 'limena_maintenance'),
    ('limena.claim_mail', 'limena_maintenance'),
    ('limena.settle_mail', 'limena_maintenance'),
    ('limena.prune', 'limena_maintenance'),
    ('limena.self_check', 'limena_maintenance'),
    ('limena.deployed_digest', 'limena_app, limena_maintenance'),
    ('limena_private.record_changes', null)
) as f (name, granted_to);

comment on view limena_private.definer_functions is 'Every SECURITY DEFINER function, and the roles that may execute it.';
