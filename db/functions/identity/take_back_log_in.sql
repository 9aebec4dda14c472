-- For an attempt that ended before a password was compared, or although it was right: the service was too busy, or the
-- database away. Whoever could not log in for our sake does not wait for it.
--
-- SECURITY DEFINER because no role may write the counters. For limena_auth alone.
create or replace function limena.take_back_log_in(
    p_email text,
    p_ip inet default null,
    p_device_hash bytea default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform limena_private.take_back_attempt(
        p_email => p_email, p_ip => p_ip, p_device_hash => p_device_hash, p_has_succeeded => false
    );
end;
$$;

comment on function limena.take_back_log_in(text, inet, bytea) is
'Takes back what begin_log_in counted, with the same arguments, when no guess was answered.';

grant execute on function limena.take_back_log_in(text, inet, bytea) to limena_auth;
