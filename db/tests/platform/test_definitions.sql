-- limena_private.definitions, through limena.self_check(): alters each kind of thing that only its definition tells of,
-- and expects to be told. Fails where the view leaves something out.
begin;
select plan(15);

create function pg_temp.definitions_after(p_statement text)
returns text
language plpgsql
as $$
declare
    v_findings text;
begin
    begin
        execute p_statement;
        select string_agg(c.object || ' ' || c.finding, E'\n' order by c.object) into v_findings
        from limena.self_check() as c
        where c.check_name = 'definitions';
        raise exception '%', coalesce(v_findings, 'nothing') using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;

select is(pg_temp.definitions_after(w.statement), replace(w.findings, '{database}', current_database()), w.statement)
from (
    values
    ('select 1', 'nothing'),
    (
        'alter policy tenants_select_app on limena.tenants using ((select limena.current_tenant_id()) is null or true)',
        'policy tenants_select_app on limena.tenants was altered after the deploy'
    ),
    (
        'alter policy tenants_select_app on limena.tenants to limena_app, limena_readonly',
        'policy tenants_select_app on limena.tenants was altered after the deploy'
    ),
    (
        'create policy x on limena.tenants for select to limena_app using (id = (select limena.current_tenant_id()))',
        'policy x on limena.tenants is not from a deploy'
    ),
    (
        'drop policy tenants_select_app on limena.tenants',
        'policy tenants_select_app on limena.tenants is missing'
    ),
    (
        'alter table limena.users drop constraint users_email_key',
        'constraint users_email_key on limena.users is missing'
    ),
    (
        'alter table limena.api_key_uses disable trigger all',
        'constraint api_key_uses_api_key_id_fkey on limena.api_key_uses was altered after the deploy'
    ),
    ('alter function limena.get_me() volatile', 'function limena.get_me() was altered after the deploy'),
    (
        'alter function limena.get_me() set row_security = off',
        'function limena.get_me() was altered after the deploy'
    ),
    (
        'alter view limena.permission_matrix set (security_barrier = true)',
        'view limena.permission_matrix was altered after the deploy'
    ),
    (
        'create trigger sneak before insert on limena.users for each row
        execute function suppress_redundant_updates_trigger()',
        'trigger sneak on limena.users is not from a deploy'
    ),
    (
        'alter table limena.users disable trigger audit_update',
        'trigger audit_update on limena.users was altered after the deploy'
    ),
    ('select limena.ensure_partitions(9)', 'nothing'),
    (
        'update limena_private.deployed_definitions set server_major = 9',
        '{database} is not yet described by this version of PostgreSQL: run limena deploy'
    ),
    (
        'delete from limena_private.deployed_definitions',
        '{database} is not yet described by this version of PostgreSQL: run limena deploy'
    )
) as w (statement, findings);

select * from finish();
rollback;
