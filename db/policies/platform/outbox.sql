-- limena.outbox: who may do what, and what is recorded. No other file makes a rule for this table.

alter table limena.outbox enable row level security;
alter table limena.outbox force row level security;

-- Not granted, on purpose: anything to limena_app, limena_auth and limena_maintenance (procedures put mail in,
-- claim_mail hands it out); SELECT on id (with the mail key, a token is made of it), recipient and parameters.
revoke all on limena.outbox from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (tenant_id, template, created_at, attempts, due_at, delivered_at, abandoned_at)
on limena.outbox to limena_readonly;

-- What an operator's declared access covers.
drop policy if exists outbox_select_readonly on limena.outbox;
create policy outbox_select_readonly on limena.outbox
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For the procedures that queue mail, claim_mail, settle_mail and prune. No LOGIN role inherits from limena_owner.
drop policy if exists outbox_select_owner on limena.outbox;
create policy outbox_select_owner on limena.outbox
for select to limena_owner
using (true);

drop policy if exists outbox_insert_owner on limena.outbox;
create policy outbox_insert_owner on limena.outbox
for insert to limena_owner
with check (true);

drop policy if exists outbox_update_owner on limena.outbox;
create policy outbox_update_owner on limena.outbox
for update to limena_owner
using (true);

drop policy if exists outbox_delete_owner on limena.outbox;
create policy outbox_delete_owner on limena.outbox
for delete to limena_owner
using (true);

-- Delivery is no event of its own: that a mail was queued is in the log, and each try in the worker's.
select limena_private.audit_table(
    p_table => 'limena.outbox',
    p_entity_type => 'mail',
    p_key_columns => '{tenant_id, id}',
    p_entity_column => 'id',
    p_ignored_columns => '{attempts, due_at, delivered_at, abandoned_at}'
);
