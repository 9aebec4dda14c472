-- Queues the mail of an invitation. The mail has the invitation's id, from which the worker derives the token.
--
-- What an attacker would try: have us write to whomever they like, as often as they like (one mail an invitation; from
-- one tenant five an hour to one address, and 100 an hour; from all of them together 20 due within an hour to one
-- address, and the others wait for an hour with room, or, when there is none within a day, are never sent: a refusal
-- would tell one tenant of another's invitations, and keep them from being made); do so in many transactions at once
-- (each may see the nineteenth: the bound is against floods, not exact; a lock could be held by whoever calls this, and
-- keep others' invitations from being made); have the token of somebody else's mail sent to themselves (an id is used
-- once, and a token is of its recipient, too); put words of their own into it (it names the tenant and the person who
-- invites, and no name becomes a link: limena.mail).
--
-- SECURITY DEFINER because limena_app has no right on the outbox, nor on the addresses of people.
create or replace function limena.mail_invitation(p_id uuid)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.tenant_with('invitations:write');
    v_invitation record;
    v_mails record;
    v_due timestamptz[];
    v_wait interval;
begin
    select i.email, i.expires_at, t.name as tenant_name, u.display_name as inviter into v_invitation
    from limena.invitations as i
    inner join limena.tenants as t on i.tenant_id = t.id
    inner join limena.users as u on i.invited_by = u.id
    where i.tenant_id = v_tenant_id and i.id = p_id and i.accepted_at is null and i.withdrawn_at is null;
    if not found then
        raise exception 'no such invitation' using errcode = 'P0002';
    end if;
    if exists (
        select from limena.memberships as m
        inner join limena.users as u on m.user_id = u.id
        where m.tenant_id = v_tenant_id and u.email = v_invitation.email
    ) then
        raise exception 'This person is a member already.' using errcode = 'LM002';
    end if;
    select
        count(*) filter (where o.tenant_id = v_tenant_id and o.recipient = v_invitation.email) as here,
        count(*) filter (where o.tenant_id = v_tenant_id) as from_here
    into v_mails
    from limena.outbox as o
    where (o.tenant_id = v_tenant_id or o.recipient = v_invitation.email)
        and o.template = 'invitation'
        and o.created_at > now() - interval '1 hour';
    if v_mails.here >= 5 or v_mails.from_here >= 100 then
        raise exception 'too many invitations' using errcode = 'LM004', detail = '3600';
    end if;

    -- By when they are due, and not by when they were asked for: those of the hours before may be waiting for this one.
    v_due := array(
        select o.due_at
        from limena.outbox as o
        where o.recipient = v_invitation.email
            and o.template = 'invitation'
            and o.abandoned_at is null
            and o.created_at > now() - interval '2 days'
    );
    select min(h.hours) * interval '1 hour' into v_wait
    from generate_series(0, 23) as h (hours)
    where 20 > (
        select count(*)
        from unnest(v_due) as d (due_at)
        where d.due_at > now() + (h.hours - 1) * interval '1 hour' and d.due_at < now() + (h.hours + 1) * interval '1 hour'
    );

    insert into limena.outbox (tenant_id, id, template, recipient, parameters, due_at, expires_at, abandoned_at)
    values (
        v_tenant_id, p_id, 'invitation', v_invitation.email,
        jsonb_build_object('tenant_name', v_invitation.tenant_name, 'inviter', v_invitation.inviter),
        now() + coalesce(v_wait, interval '0'),
        v_invitation.expires_at,
        case when v_wait is null then now() end
    );
end;
$$;

comment on function limena.mail_invitation(uuid) is
'Queues the mail of an open invitation to the current tenant, once; for later where its address has 20 within the hour. Raises P0002 when there is none or the caller lacks invitations:write, LM002 when its addressee is a member, LM004 after too many mails, 23505 the second time.';

grant execute on function limena.mail_invitation(uuid) to limena_app;
