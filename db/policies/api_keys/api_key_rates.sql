-- limena.api_key_rates: who may do what. Not audited: counters.

alter table limena.api_key_rates enable row level security;
alter table limena.api_key_rates force row level security;

-- Not granted, on purpose: anything to anyone (count_api_key_call is the way).
revoke all on limena.api_key_rates from public, limena_app, limena_auth, limena_readonly, limena_maintenance;

-- For count_api_key_call and erase_tenant. No LOGIN role inherits from limena_owner.
drop policy if exists api_key_rates_select_owner on limena.api_key_rates;
create policy api_key_rates_select_owner on limena.api_key_rates
for select to limena_owner
using (true);

drop policy if exists api_key_rates_insert_owner on limena.api_key_rates;
create policy api_key_rates_insert_owner on limena.api_key_rates
for insert to limena_owner
with check (true);

drop policy if exists api_key_rates_update_owner on limena.api_key_rates;
create policy api_key_rates_update_owner on limena.api_key_rates
for update to limena_owner
using (true);

drop policy if exists api_key_rates_delete_owner on limena.api_key_rates;
create policy api_key_rates_delete_owner on limena.api_key_rates
for delete to limena_owner
using (true);
