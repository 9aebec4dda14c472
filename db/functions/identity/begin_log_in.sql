-- Before a password is verified: counts the attempt, and hands out what PostgreSQL cannot verify without an extension.
-- The only place, with find_password, where a bcrypt hash leaves the database.
--
-- What an attacker would try: many attempts at once, before any of them has failed. So each counts before it is
-- verified, one after the other under the counter's row lock, and log_in() takes back the count of one that succeeds.
-- The counters are locked in one order: no deadlock. An attempt that is refused does not count: hammering does not
-- lengthen the wait.
--
-- An unknown address counts and answers as a known one does, but for the hash. highest_cost is what the slowest
-- comparison would cost: whoever makes every failure take that long tells nobody whose hash is an old one.
--
-- SECURITY DEFINER because it comes before a tenant is known, and no role may read password hashes. For limena_auth
-- alone.
create or replace function limena.begin_log_in(p_email text, p_ip inet default null, p_device_hash bytea default null)
returns table (user_id uuid, password_hash text, retry_after integer, highest_cost integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_subject record;
    v_counted bytea[] := '{}';
    v_blocked_until timestamptz := '-infinity';
begin
    for v_subject in
        select s.subject
        from limena_private.log_in_subjects(p_email => p_email, p_ip => p_ip, p_device_hash => p_device_hash) as s
        order by s.subject
    loop
        insert into limena.log_in_failures as f (subject, failures, last_failed_at, blocked_until)
        values (v_subject.subject, 1, clock_timestamp(), '-infinity')
        on conflict (subject) do update
        set
            -- An hour without an attempt, and the count starts anew.
            failures = case
                when f.last_failed_at < clock_timestamp() - interval '1 hour' then 1 else least(f.failures + 1, 1000000)
            end,
            last_failed_at = clock_timestamp()
        where f.blocked_until <= clock_timestamp();
        if found then
            v_counted := v_counted || v_subject.subject;
        end if;
    end loop;

    select coalesce(max(f.blocked_until), '-infinity') into v_blocked_until
    from limena_private.log_in_subjects(p_email => p_email, p_ip => p_ip, p_device_hash => p_device_hash) as s
    inner join limena.log_in_failures as f on s.subject = f.subject;
    if v_blocked_until > clock_timestamp() then
        -- One counter refuses; the others counted. Their rows are still locked: what they had is exact.
        delete from limena.log_in_failures as f
        where f.subject = any(v_counted) and f.failures = 1;
        update limena.log_in_failures as f
        set failures = f.failures - 1
        where f.subject = any(v_counted);
        return query
        select
            null::uuid,
            null::text,
            greatest(1, ceil(extract(epoch from v_blocked_until - clock_timestamp())))::integer,
            null::integer;
        return;
    end if;

    update limena.log_in_failures as f
    set blocked_until = clock_timestamp() + least(s.longest, make_interval(secs => 2 ^ least(f.failures - s.free, 20)))
    from limena_private.log_in_subjects(p_email => p_email, p_ip => p_ip, p_device_hash => p_device_hash) as s
    where f.subject = s.subject and f.failures > s.free;

    return query
    select
        u.id,
        u.password_hash,
        0,
        (select max(substring(c.password_hash from 5 for 2))::integer from limena.users as c)
    from (select lower(btrim(p_email)) as email) as a
    left join limena.users as u on a.email = u.email;
end;
$$;

comment on function limena.begin_log_in(text, inet, bytea) is
'One row: the user and bcrypt hash behind an address (NULL for an unknown one), the seconds to wait before the next attempt (then without a hash), and the highest bcrypt cost of all hashes. p_device_hash: SHA-256 of a device cookie that was verified for this account.';

grant execute on function limena.begin_log_in(text, inet, bytea) to limena_auth;
