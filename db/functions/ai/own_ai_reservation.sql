-- A reservation that the caller may settle or release: their own, or that of a key which theirs replaced; with ai:write
-- any of the tenant. Asked before the quota's row is locked: whoever may not waits for nobody. In a frozen tenant too:
-- the call was made.
--
-- What an attacker would try: release what another caller has under way, to have its tokens; report tokens in another's
-- name.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.own_ai_reservation(p_id uuid)
returns limena.ai_reservations
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context jsonb := limena_private.verified_context()::jsonb;
    v_tenant_id uuid := (v_context ->> 'tenant_id')::uuid;
    v_actor_id uuid := (v_context ->> 'actor_id')::uuid;
    v_reservation limena.ai_reservations;
begin
    perform limena.require_even_frozen('ai:use');
    select r.* into v_reservation
    from limena.ai_reservations as r
    where r.tenant_id = v_tenant_id and r.id = p_id;
    if not found then
        raise exception 'no such reservation' using errcode = 'P0002';
    end if;
    if v_reservation.actor_id <> v_actor_id and not exists (
        with recursive successors as (
            select k.replaced_by as id
            from limena.api_keys as k
            where k.tenant_id = v_tenant_id and k.id = v_reservation.actor_id
            union
            select k.replaced_by
            from successors as s
            inner join limena.api_keys as k on s.id = k.id
            where k.tenant_id = v_tenant_id
        )

        select from successors as s
        where s.id = v_actor_id
    ) then
        perform limena.require_even_frozen('ai:write');
    end if;
    return v_reservation;
end;
$$;

comment on function limena_private.own_ai_reservation(uuid) is
'A reservation of the current tenant that the caller may close. Raises 42501 without ai:use, and for another caller''s without ai:write; P0002 when there is no such reservation.';
