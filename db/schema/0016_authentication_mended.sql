-- What a hostile review of authentication found, as far as the shape of things goes.

-- A registration's hash has served when the link was followed. It is somebody's password, often elsewhere, too.
alter table limena.registrations alter column password_hash drop not null;
comment on column limena.registrations.password_hash is 'The password that was chosen at the registration; NULL once the link was followed.';

-- Returned a column more.
drop function if exists limena_private.log_in_subjects(text, inet, bytea);
