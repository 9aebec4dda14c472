-- Counts a call of a key that has a rate, in a transaction of its own, right before the call's and on the same
-- connection: `select count_api_key_call(…)`, Sync, `select procedure(…) from enter_api_key(…)`, Sync, sent at once.
-- So the row is locked for as long as one update takes, and never while a request runs. What is refused here raises,
-- and enter_api_key, which finds no call counted under this id, refuses too.
--
-- In any 60 seconds never more: there is a bucket a second, and 61 of them are counted, the oldest whole though only a
-- part of it may lie within the 60 seconds. The clock is read after the row is locked.
--
-- What an attacker would try: many calls at once (one after the other under the row's lock); a key that is not theirs
-- (its hash must be shown, and counting it takes that key's calls away, as using it would). With SQL as limena_app one
-- can set app.counted_call without being counted: a rate protects against callers of the API, not against the database
-- role.
--
-- SECURITY DEFINER because no role may read key hashes, or write counters.
create or replace function limena.count_api_key_call(
    p_key_hash bytea, p_call_id uuid, p_is_counted boolean default false
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key record;
    v_rate record;
    v_second bigint;
    v_age bigint;
    v_calls integer[];
    v_left bigint;
begin
    perform set_config('app.counted_call', '', false);
    select k.tenant_id, k.id, k.calls_per_minute into v_key
    from limena.api_keys as k
    where k.key_hash = p_key_hash
        and k.revoked_at is null
        and (k.expires_at is null or k.expires_at > clock_timestamp())
        and (k.retires_at is null or k.retires_at > clock_timestamp());
    -- One that is not valid is enter_api_key's to refuse.
    if found and v_key.calls_per_minute is not null and not p_is_counted then
        select r.second, r.calls into v_rate
        from limena.api_key_rates as r
        where r.tenant_id = v_key.tenant_id and r.api_key_id = v_key.id
        for no key update;
        if not found then
            insert into limena.api_key_rates (tenant_id, api_key_id, second, calls)
            values (v_key.tenant_id, v_key.id, 0, array_fill(0, array[61]))
            on conflict (tenant_id, api_key_id) do nothing;
            select r.second, r.calls into strict v_rate
            from limena.api_key_rates as r
            where r.tenant_id = v_key.tenant_id and r.api_key_id = v_key.id
            for no key update;
        end if;

        -- A clock that was set back: what was counted is taken to have been just now, and is over in a minute.
        v_second := floor(extract(epoch from clock_timestamp()))::bigint;
        v_age := least(greatest(v_second - v_rate.second, 0), 61);
        v_calls := array_fill(0, array[v_age::integer]) || v_rate.calls[1 : 61 - v_age];
        v_left := v_key.calls_per_minute - (select sum(c.calls) from unnest(v_calls) as c (calls));
        if v_left <= 0 then
            raise exception 'the key was used too often' using
                errcode = 'LM004',
                -- Until so many of the oldest calls are no longer counted that there is room for one.
                detail = (
                    select 62 - max(b.age)
                    from (
                        select c.age, sum(c.calls) over (order by c.age desc) as gone
                        from unnest(v_calls) with ordinality as c (calls, age)
                    ) as b
                    where b.gone > -v_left
                );
        end if;
        v_calls[1] := v_calls[1] + 1;
        update limena.api_key_rates as r
        set second = v_second, calls = v_calls
        where r.tenant_id = v_key.tenant_id and r.api_key_id = v_key.id;
    end if;
    perform set_config('app.counted_call', p_call_id::text, false);
end;
$$;

comment on function limena.count_api_key_call(bytea, uuid, boolean) is
'Counts a call of the API key with this SHA-256 under p_call_id, which enter_api_key then asks for; with p_is_counted it was counted before. Raises LM004, with the seconds to wait as DETAIL, when the key had its calls of this minute.';

grant execute on function limena.count_api_key_call(bytea, uuid, boolean) to limena_app;
