-- The catalogue of scopes, and the matrix: the same for every caller.
create or replace function limena.list_permissions()
returns json
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if limena.current_context() is null then
        raise exception 'permission denied' using errcode = '42501';
    end if;
    return json_build_object(
        'items', (
            select
                json_agg(
                    json_build_object(
                        'name', p.name,
                        'description', p.description,
                        'works_when_frozen', p.works_when_frozen,
                        'roles', array(
                            select r.role from limena.role_permissions as r where r.permission = p.name order by r.role
                        )
                    )
                    order by p.name
                )
            from limena.permissions as p
        ),
        'next', null
    );
end;
$$;

comment on function limena.list_permissions() is
'Every permission, which is also every scope of API keys: what it is for, which roles have it, and whether a frozen tenant keeps it. Raises 42501 without a context.';

grant execute on function limena.list_permissions() to limena_app;
