-- Five mails of a kind an hour and tenant at most, whatever trips and is reset again and again.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.mail_owners(p_tenant_id uuid, p_template text, p_parameters jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into limena.outbox (tenant_id, id, template, recipient, parameters)
    select
        p_tenant_id,
        gen_random_uuid(),
        p_template,
        u.email,
        p_parameters || jsonb_build_object('tenant_name', t.name, 'display_name', u.display_name)
    from limena.memberships as m
    inner join limena.users as u on m.user_id = u.id
    inner join limena.tenants as t on m.tenant_id = t.id
    where m.tenant_id = p_tenant_id
        and m.role = 'owner'
        and not limena_private.is_mailbox_full(u.email, p_template, p_tenant_id);
end;
$$;

comment on function limena_private.mail_owners(uuid, text, jsonb) is
'Queues a mail to each owner of a tenant. p_parameters: what the template shows, besides tenant_name and display_name.';
