-- begin_log_in() counted an attempt as if it would fail, and it did not: it succeeded, or no password was compared.
-- What others did from this address, or with this account, stays counted: a good account launders no guesses at others.
--
-- The rows are locked in the order in which begin_log_in() locks them, and only those that were locked are touched: one
-- that came since is somebody else's.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.take_back_attempt(
    p_email text,
    p_ip inet,
    p_device_hash bytea,
    p_has_succeeded boolean default true
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_locked bytea[];
begin
    select array_agg(l.subject) into v_locked
    from (
        select f.subject
        from limena.log_in_failures as f
        where f.subject in (
            select s.subject
            from limena_private.log_in_subjects(p_email => p_email, p_ip => p_ip, p_device_hash => p_device_hash) as s
        )
        order by f.subject
        for update
    ) as l;

    delete from limena.log_in_failures as f
    using limena_private.log_in_subjects(p_email => p_email, p_ip => p_ip, p_device_hash => p_device_hash) as s
    where f.subject = any(v_locked)
        and f.subject = s.subject
        and (f.failures <= 1 or (p_has_succeeded and s.kind in ('account at address', 'device')));
    update limena.log_in_failures as f
    set
        failures = f.failures - 1,
        blocked_until = case when f.failures - 1 <= s.free then '-infinity' else f.blocked_until end
    from limena_private.log_in_subjects(p_email => p_email, p_ip => p_ip, p_device_hash => p_device_hash) as s
    where f.subject = any(v_locked) and f.subject = s.subject;
end;
$$;

comment on function limena_private.take_back_attempt(text, inet, bytea, boolean) is
'Takes back what begin_log_in() counted; after a success, forgets the failures of this account from this address or device.';
