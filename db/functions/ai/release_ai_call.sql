-- For a call that was not made after all: its tokens are free again. It stays one of the hour's calls: reserving and
-- releasing in a loop is what the velocity limit is there to stop.
--
-- SECURITY DEFINER because limena_app may write no counter: with SQL of its own it would set them back.
create or replace function limena.release_ai_call(p_id uuid)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid;
    v_quota limena.ai_quotas;
    v_reservation limena.ai_reservations;
begin
    v_tenant_id := (limena_private.own_ai_reservation(p_id)).tenant_id;

    v_quota := limena_private.lock_ai_quota(v_tenant_id);
    select r.* into v_reservation
    from limena.ai_reservations as r
    where r.tenant_id = v_tenant_id and r.id = p_id;
    if not found then
        raise exception 'no such reservation' using errcode = 'P0002';
    end if;
    if v_reservation.state = 'settled' then
        raise exception 'The reservation was settled.' using errcode = 'LM002';
    end if;
    if v_reservation.state = 'live' then
        perform limena_private.record_ai_usage(
            p_reservation => v_reservation, p_outcome => 'released', p_recorded_at => v_quota.as_of
        );
        v_quota := limena_private.close_ai_reservation(v_quota, v_reservation, 'released', 0);
    end if;
    perform limena_private.save_ai_quota(v_quota);
end;
$$;

comment on function limena.release_ai_call(uuid) is
'Gives a reservation back whose call is not made. Releasing it again, or when it has expired, changes nothing. Raises 42501 without ai:use, and for another caller''s call without ai:write; P0002 when there is no such reservation, LM002 when it was settled, 55P03 when others have the tenant''s row for a second.';

grant execute on function limena.release_ai_call(uuid) to limena_app;
