-- The digest of each row of the log: SHA-256 over its fields, of which those about a person and about a change are
-- there as salted commitments alone. Independent of every setting and of the server's version: jsonb prints itself in
-- one way, times are microseconds.
create or replace view limena_private.audit_digests
with (security_invoker = true) as
select
    l.tenant_id,
    l.seq,
    l.occurred_at,
    l.id,
    l.action,
    sha256(
        convert_to(
            jsonb_build_array(
                l.tenant_id, l.seq, (extract(epoch from l.occurred_at) * 1000000)::bigint, l.id, l.action, l.actor_type,
                l.entity_type, encode(c.who, 'hex'), encode(c.changes, 'hex')
            )::text,
            'UTF8'
        )
    ) as digest
from limena.audit_logs as l
cross join lateral ( -- noqa: ST05
    select
        sha256(
            uuid_send(l.who_salt) || 'who'::bytea || convert_to(
                jsonb_build_array(
                    l.actor_id,
                    l.actor_label,
                    l.on_behalf_of_id,
                    l.on_behalf_of_label,
                    l.request_id,
                    l.ip::text,
                    l.user_agent
                )::text,
                'UTF8'
            )
        ) as who,
        sha256(
            uuid_send(l.changes_salt) || 'changes'::bytea
            || convert_to(jsonb_build_array(l.entity_id, l.changes, l.details)::text, 'UTF8')
        ) as changes
) as c;

comment on view limena_private.audit_digests is 'The digest of each row of the audit log, as seals keep it and verify_audit_log() computes it anew.';
