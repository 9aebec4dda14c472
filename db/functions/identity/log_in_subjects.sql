-- What failures are counted for, and how each count grows into a delay: the n-th failure above `free` blocks for 2^n
-- seconds, up to `longest`.
--
-- An account from one address, and an address whatever the account, grow to 15 minutes. An account from anywhere never
-- blocks for more than 10 seconds: a stranger slows down a guesser, and never locks the owner out. IPv6 counts by /64,
-- which is what one customer of a provider has. All of it is made of what was shown alone, never of what is stored:
-- that an address does not wait where another does would tell that the account exists, and where its owner was.
--
-- A browser in which the account's owner has logged in before is counted apart from all of that, by its device cookie
-- (OWASP, "Slow down online guessing attacks with device cookies"): what strangers do, from wherever, does not delay
-- it; and whoever steals one has a counter like anyone else. The API verifies that the cookie is of this account.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.log_in_subjects(p_email text, p_ip inet, p_device_hash bytea)
returns table (kind text, subject bytea, free integer, longest interval)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_account text := lower(btrim(p_email));
    v_network text := coalesce(case family(p_ip) when 6 then network(set_masklen(p_ip, 64))::text else host(p_ip) end, 'unknown');
begin
    if p_device_hash is not null then
        return query
        select
            'device', sha256(convert_to(concat_ws(chr(10), 'device', encode(p_device_hash, 'hex'), v_account), 'UTF8')), 5,
            interval '15 minutes';
        return;
    end if;
    return query
    select k.kind, sha256(convert_to(concat_ws(chr(10), k.kind, k.network, k.account), 'UTF8')), k.free, k.longest
    from (
        values
        ('account at address', v_network, v_account, 5, interval '15 minutes'),
        ('address', v_network, null, 30, interval '15 minutes'),
        ('account', null, v_account, 10, interval '10 seconds')
    ) as k (kind, network, account, free, longest);
end;
$$;

comment on function limena_private.log_in_subjects(text, inet, bytea) is
'The counters of a log-in: what is counted, its SHA-256, failures without a delay, longest delay.';
