-- What makes log-ins and registrations hold against a stranger who keeps at it; and indexes for what prune() deletes.

-- Functions that got another signature: CREATE OR REPLACE would leave the old ones beside the new.
drop function if exists limena.begin_log_in(text, inet);
drop function if exists limena.log_in(uuid, text, bytea, bytea, uuid, text, inet, text);
drop function if exists limena.change_password(bytea, text, text, text, inet, text);
drop function if exists limena.request_registration(text, text, text, text, uuid, bytea, text, inet, text);
drop function if exists limena.verify_registration(bytea, text, inet, text);
drop function if exists limena_private.log_in_subjects(text, inet);
drop function if exists limena_private.take_back_attempt(text, inet);

alter table limena.registrations add column registrant_hash bytea
constraint registrations_registrant_hash_check check (octet_length(registrant_hash) = 32);
alter table limena.registrations alter column registrant_hash set statistics 0;
comment on column limena.registrations.registrant_hash is
'The SHA-256 of a secret that the browser has which registered; NULL for a registration without one, which needs a new password to be verified.';

alter table limena.outbox add column expires_at timestamptz;
comment on column limena.outbox.expires_at is 'When the mail is worth nothing any more, as a link after its time; NULL: never. It is abandoned then.';

-- The highest bcrypt cost in use, which begin_log_in tells, is the last entry.
create index users_password_cost_idx on limena.users (substring(password_hash from 5 for 2));
alter index limena.users_password_cost_idx alter column 1 set statistics 0;

-- For prune() alone. An index that does not begin with the tenant is searched before a policy is asked, and tells with
-- EXPLAIN (ANALYZE) how many rows others have. So each has a condition, always true, on a column that nobody but the
-- owner may read: whoever cannot name the column in a query cannot have the index searched.
create index registrations_expires_at_idx on limena.registrations (expires_at) where octet_length(token_hash) = 32;
create index invitations_expires_at_idx on limena.invitations (expires_at) where octet_length(token_hash) = 32;
create index password_resets_expires_at_idx on limena.password_resets (expires_at) where octet_length(token_hash) = 32;
create index outbox_settled_at_idx on limena.outbox (coalesce(delivered_at, abandoned_at)) where recipient <> '';
create index sessions_over_at_idx on limena.sessions (least(ended_at, expires_at)) where octet_length(secret_hash) = 32;
