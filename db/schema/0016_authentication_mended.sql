-- What a hostile review of authentication found, as far as the shape of things goes.

-- Returned a column more.
drop function if exists limena_private.log_in_subjects(text, inet, bytea);
