-- limena.ai_reservations: who may do what. Not audited: a record of its own.

alter table limena.ai_reservations enable row level security;
alter table limena.ai_reservations force row level security;

-- Not granted, on purpose: SELECT on idempotency_key, which is its caller's; INSERT, UPDATE and DELETE, to anyone
-- (whoever could write a reservation would take it back); anything to limena_auth.
revoke all on limena.ai_reservations from public, limena_app, limena_auth, limena_readonly, limena_maintenance;
grant select (tenant_id, id, actor_type, actor_id, model, estimated_tokens, state, created_at, expires_at)
on limena.ai_reservations to limena_app, limena_readonly;

drop policy if exists ai_reservations_select_app on limena.ai_reservations;
create policy ai_reservations_select_app on limena.ai_reservations
for select to limena_app
using (tenant_id = any(array[(select limena.tenant_with('ai:read'))]));

-- What an operator's declared access covers.
drop policy if exists ai_reservations_select_readonly on limena.ai_reservations;
create policy ai_reservations_select_readonly on limena.ai_reservations
for select to limena_readonly
using (
    (tenant_id = any(array[(select limena.covered_tenant_id())]) or (select limena.covers_all()))
    and tenant_id between (select limena.covered_from()) and (select limena.covered_to())
);

-- For the procedures of the ai domain, and prune. No LOGIN role inherits from limena_owner.
drop policy if exists ai_reservations_select_owner on limena.ai_reservations;
create policy ai_reservations_select_owner on limena.ai_reservations
for select to limena_owner
using (true);

drop policy if exists ai_reservations_insert_owner on limena.ai_reservations;
create policy ai_reservations_insert_owner on limena.ai_reservations
for insert to limena_owner
with check (true);

drop policy if exists ai_reservations_update_owner on limena.ai_reservations;
create policy ai_reservations_update_owner on limena.ai_reservations
for update to limena_owner
using (true);

drop policy if exists ai_reservations_delete_owner on limena.ai_reservations;
create policy ai_reservations_delete_owner on limena.ai_reservations
for delete to limena_owner
using (true);
