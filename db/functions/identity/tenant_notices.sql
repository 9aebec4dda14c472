-- Whoever is inside should know why nothing can be changed: no permission is asked for.
create or replace function limena.tenant_notices()
returns jsonb
language plpgsql
stable
parallel restricted
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (
            select jsonb_agg(
                case t.state
                    when 'frozen' then jsonb_build_object(
                        'code', 'tenant_frozen',
                        'severity', 'error',
                        'title', 'This tenant is frozen',
                        'detail', 'It can be read and not changed. The audit log says why.',
                        'until', null,
                        'action', null
                    )
                    else jsonb_build_object(
                        'code', 'tenant_deleting',
                        'severity', 'error',
                        'title', 'This tenant is to be deleted',
                        'detail', 'It can be read and not changed, and all of its data is erased when that is due. An owner can restore it.',
                        'until', t.deletion_due_at,
                        'action', '/settings/tenant'
                    )
                end
            )
            from limena.tenants as t
            where t.id = (select limena.current_tenant_id()) and t.state in ('frozen', 'deleting')
        ),
        '[]'
    );
end;
$$;

comment on function limena.tenant_notices() is 'The notice of a tenant that is frozen or to be deleted.';

grant execute on function limena.tenant_notices() to limena_app;
