-- limena.invitations: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.invitations enable row level security;
alter table limena.invitations force row level security;

-- Not granted, on purpose: SELECT on token_hash (a hash that can be read can be passed to accept_invitation);
-- UPDATE on anything but withdrawn_at; DELETE; INSERT on the times, which have defaults; anything to limena_auth.
revoke all on limena.invitations from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (tenant_id, id, email, role, invited_by, created_at, expires_at, accepted_at, withdrawn_at)
on limena.invitations to limena_app, limena_readonly;
grant insert (tenant_id, id, email, role, token_hash, invited_by)
on limena.invitations to limena_app;
grant update (withdrawn_at)
on limena.invitations to limena_app;

-- invitations:write sees them too: PostgreSQL asks for SELECT on the rows that an UPDATE's WHERE names.
drop policy if exists invitations_select_app on limena.invitations;
create policy invitations_select_app on limena.invitations
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('invitations:read', 'invitations:write'))]));

-- Nobody gives what they do not hold: an owner is made by an owner, and a key that may only invite makes nobody more
-- than it is.
drop policy if exists invitations_insert_app on limena.invitations;
create policy invitations_insert_app on limena.invitations
for insert to limena_app
with check (
    limena.holds(
        tenant_id,
        invited_by,
        array(
            select r.permission from limena.role_permissions as r
            where r.role = invitations.role
        ) || 'invitations:write'::text
    )
);

-- What was accepted or withdrawn stays so: it is not visible to UPDATE once it is.
drop policy if exists invitations_update_app on limena.invitations;
create policy invitations_update_app on limena.invitations
for update to limena_app
using (
    tenant_id = any(array[(select limena.tenant_with('invitations:write'))])
    and accepted_at is null
    and withdrawn_at is null
)
with check (tenant_id = any(array[(select limena.tenant_with('invitations:write'))]));

-- What an operator's declared access covers.
drop policy if exists invitations_select_readonly on limena.invitations;
create policy invitations_select_readonly on limena.invitations
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For accept_invitation, before there is a context. No LOGIN role inherits from limena_owner.
drop policy if exists invitations_select_owner on limena.invitations;
create policy invitations_select_owner on limena.invitations
for select to limena_owner
using (true);

drop policy if exists invitations_update_owner on limena.invitations;
create policy invitations_update_owner on limena.invitations
for update to limena_owner
using (true);

-- For erase_tenant and prune.
drop policy if exists invitations_delete_owner on limena.invitations;
create policy invitations_delete_owner on limena.invitations
for delete to limena_owner
using (true);

select limena_private.audit_table(
    p_table => 'limena.invitations',
    p_entity_type => 'invitation',
    p_key_columns => '{tenant_id, id}',
    p_entity_column => 'id',
    p_redacted_columns => '{token_hash}',
    p_column_actions => '[["accepted_at", "invitation.accepted"], ["withdrawn_at", "invitation.withdrawn"]]'
);
