-- The catalogue of events: every action that can stand in the log. Each audited table has its four by the name of its
-- rows; whatever says more than `updated`, and every event that changes no row, has a line of its own. self_check()
-- refuses a deploy in which a table or a procedure could write an action that is not here; that something writes each
-- that is, a test shows. docs/events.md is made of it.
--
-- severity: `info`, everyday business; `notice`, changes who may do what; `warning`, worth a look. details: the keys
-- that the event's details can have. is_announced: recorded once, in the platform's log, and read by every tenant.
create or replace view limena.audit_actions
with (security_invoker = true) as
with events as (
    select
        e.name,
        e.severity,
        e.meaning,
        e.details::text[] as details
    from (
        values
        (
            'access.denied', 'warning',
            'Somebody asked for what their role or scopes do not allow', '{permission, route, reason}'
        ),
        ('ai_quota.tripped', 'warning', 'A limit was reached, and AI is paused', '{cause, limit, ends_at}'),
        (
            'ai_quota.reset', 'notice',
            'AI is no longer paused: by time, by hand or by a higher limit', '{cause, by, reason}'
        ),
        ('ai_quota.warned', 'warning', 'Most of the month''s AI tokens are used or reserved', '{percent, limit}'),
        (
            'ai_quota.recounted', 'warning',
            'The AI quota was counted anew, after a clock that was wrong', '{counted_up_to, reason}'
        ),
        ('ai_usage.exported', 'notice', 'Somebody exported the AI usage', '{format, filters}'),
        (
            'ai_usage.removed', 'info', 'AI calls of a month long past were removed; their sums stay',
            '{month, kept_months}'
        ),
        ('ai_settings.administered', 'warning', 'A platform admin changed the AI switch or limits', '{reason}'),
        ('api_key.revoked', 'notice', 'An API key was switched off', '{}'),
        ('api_key.rotated', 'notice', 'An API key got a successor, and ends after a grace', '{}'),
        ('api_key.transferred', 'notice', 'An API key passed to an owner when its creator left', '{}'),
        ('audit_log.exported', 'notice', 'The log was exported', '{format, filters}'),
        (
            'audit_log.removed', 'notice', 'Rows past the tenant''s retention were removed',
            '{from_seal, to_seal, rows, until}'
        ),
        (
            'audit_log.partition_dropped', 'info', 'A month of the log without a row in it was dropped', '{partition}'
        ),
        (
            'audit_log.sealed', 'info', 'Rows of the log were sealed',
            '{to_seq, seals, rows, digest, tenants}'
        ),
        ('integration.connected', 'notice', 'A third party was connected, or connected anew', '{}'),
        ('integration.disconnected', 'notice', 'A third party was disconnected', '{}'),
        (
            'integration.failed', 'warning',
            'A third party could not be connected, or refuses what is stored for it', '{provider, reason}'
        ),
        ('integration.refreshing', 'info', 'Somebody''s request made an access token be refreshed', '{provider}'),
        ('integration.revocation_recorded', 'info', 'What a provider answered when tokens were revoked there', '{}'),
        ('integration_credential.resealed', 'info', 'A credential was encrypted with another master key', '{}'),
        ('invitation.accepted', 'notice', 'Somebody accepted an invitation', '{}'),
        ('invitation.withdrawn', 'notice', 'An invitation was withdrawn, or replaced by a later one', '{}'),
        ('master_key.rotated', 'notice', 'Credentials were put under another master key', '{resealed, unreadable}'),
        ('master_key.rotation_begun', 'notice', 'A rotation of the master key began', '{resealed, unreadable}'),
        ('maintenance.partitions_made', 'info', 'Months of the logs were made ahead of time', '{partitions}'),
        ('maintenance.pruned', 'info', 'Rows whose time is over were removed', '{rows}'),
        ('membership.role_changed', 'notice', 'A member got another role', '{}'),
        (
            'operator.access_opened', 'warning',
            'An operator declared access to this tenant''s rows', '{reason, until, login}'
        ),
        (
            'operator.all_access_opened', 'warning', 'An operator declared access to the rows of all tenants',
            '{reason, until, login}'
        ),
        ('operator.access_closed', 'info', 'An operator ended an access before its time', '{}'),
        ('password_reset.used', 'notice', 'A link to set a new password was used up', '{}'),
        (
            'platform.tenant_administered', 'warning', 'A platform admin acted on a tenant',
            '{action, reason, calls_per_hour, tokens_per_month}'
        ),
        ('refresh_token.spent', 'info', 'A refresh token was used', '{}'),
        ('registration.verified', 'notice', 'Somebody confirmed their address and has an account', '{}'),
        ('session.created', 'info', 'Somebody logged in', '{}'),
        ('session.ended', 'info', 'A session was ended: by log-out, from another one, by a new password', '{}'),
        ('session.login_failed', 'warning', 'A log-in failed', '{}'),
        (
            'session.refresh_reused', 'warning',
            'A refresh token was shown again long after its use: it was stolen, or a client is at fault', '{}'
        ),
        (
            'tenant.api_keys_revoked', 'warning',
            'A platform admin revoked all API keys of the tenant', '{reason, revoked}'
        ),
        (
            'tenant.deletion_requested', 'warning',
            'An owner deleted the tenant: it is erased when that is due', '{due_at}'
        ),
        ('tenant.erased', 'warning', 'All data of the deleted tenant but this log was erased', '{}'),
        ('tenant.frozen', 'warning', 'A platform admin froze the tenant', '{reason}'),
        ('tenant.restored', 'warning', 'An owner took the deletion of the tenant back', '{}'),
        ('tenant.unfrozen', 'warning', 'A platform admin unfroze the tenant', '{reason}'),
        ('tenant.salt_destroyed', 'warning', 'The tenant''s stored credentials were made worthless for good', '{}'),
        ('tenant.state_changed', 'warning', 'The tenant''s state was changed', '{}'),
        ('user.password_changed', 'notice', 'A password was changed', '{}'),
        ('user.password_reset', 'notice', 'A password was set with a link from a mail', '{}'),
        ('user.password_reset_requested', 'info', 'Somebody asked for a link to set a new password', '{mailed}'),
        ('user.platform_admin_changed', 'warning', 'Somebody became a platform admin, or is none any more', '{}')
    ) as e (name, severity, meaning, details)
),

tables as (
    select
        t.entity_type || '.' || v.verb as name,
        case when v.verb = 'truncated' then 'warning' else t.severity end as severity,
        v.meaning || t.label as meaning,
        '{}'::text[] as details
    from (
        values
        ('ai_settings', 'notice', 'AI settings'),
        ('api_key', 'notice', 'API key'),
        ('integration', 'notice', 'integration'),
        ('integration_credential', 'notice', 'integration''s credential'),
        ('integration_flow', 'info', 'connection under way'),
        ('invitation', 'notice', 'invitation'),
        ('mail', 'info', 'queued mail'),
        ('membership', 'notice', 'membership'),
        ('operator_access', 'notice', 'declared operator''s access'),
        ('password_reset', 'notice', 'link to set a new password'),
        ('permission', 'warning', 'permission'),
        ('refresh_token', 'info', 'refresh token'),
        ('registration', 'info', 'asked-for account'),
        ('role_permission', 'warning', 'role''s permission'),
        ('session', 'info', 'session'),
        ('tenant', 'notice', 'tenant'),
        ('user', 'notice', 'account')
    ) as t (entity_type, severity, label)
    cross join (
        values
        ('created', 'Made: '),
        ('updated', 'Changed: '),
        ('deleted', 'Removed: '),
        ('truncated', 'All removed at once: ')
    ) as v (verb, meaning)
    where not exists (
        select from events as e
        where e.name = t.entity_type || '.' || v.verb
    )
)

select
    a.name,
    a.severity,
    a.meaning,
    a.details,
    a.name in ('ai_usage.removed', 'operator.all_access_opened') as is_announced
from (
    select e.* from events as e
    union all
    select t.* from tables as t
) as a
order by a.name collate "C"; -- noqa: RF03

comment on view limena.audit_actions is
'The catalogue of events: every action that can stand in the audit log, how much it matters, what it means and what its details can hold.';

grant select on limena.audit_actions to limena_app, limena_auth, limena_readonly, limena_maintenance;
