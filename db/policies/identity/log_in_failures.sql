-- limena.log_in_failures: who may do what. Not audited: counters; the failures themselves are in the log.

alter table limena.log_in_failures enable row level security;
alter table limena.log_in_failures force row level security;

-- Not granted, on purpose: anything to anyone. A counter's subject is the SHA-256 of an address that can be guessed.
revoke all on limena.log_in_failures from public, limena_app, limena_auth, limena_readonly, limena_maintenance;

-- For begin_log_in, log_in and prune. No LOGIN role inherits from limena_owner.
drop policy if exists log_in_failures_select_owner on limena.log_in_failures;
create policy log_in_failures_select_owner on limena.log_in_failures
for select to limena_owner
using (true);

drop policy if exists log_in_failures_insert_owner on limena.log_in_failures;
create policy log_in_failures_insert_owner on limena.log_in_failures
for insert to limena_owner
with check (true);

drop policy if exists log_in_failures_update_owner on limena.log_in_failures;
create policy log_in_failures_update_owner on limena.log_in_failures
for update to limena_owner
using (true);

drop policy if exists log_in_failures_delete_owner on limena.log_in_failures;
create policy log_in_failures_delete_owner on limena.log_in_failures
for delete to limena_owner
using (true);
