-- Mail that strangers can cause goes to one address five times an hour at most, of each kind: whoever fills a mailbox
-- with one kind does not keep the other from it, and, for mail on behalf of a tenant, neither does one tenant keep
-- another's from it. Several transactions at once may each see the fourth: the bound is against floods, not exact.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.is_mailbox_full(
    p_recipient text,
    p_template text,
    p_tenant_id uuid default null
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return 5 <= (
        select count(*)
        from limena.outbox as o
        where o.recipient = p_recipient
            and o.template = p_template
            and o.created_at > now() - interval '1 hour'
            and (p_tenant_id is null or o.tenant_id = p_tenant_id)
    );
end;
$$;

comment on function limena_private.is_mailbox_full(text, text, uuid) is
'True when five mails of this template were queued for the address within the hour, of this tenant if one is given.';
