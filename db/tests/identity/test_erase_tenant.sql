-- limena_private.erase_tenant() and limena.erase_tenants(): what is left of a tenant, and what of the others. Fails
-- without either, and for a table of tenants that has no line in the first.
begin;
select plan(15);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
insert into limena.api_key_rates (tenant_id, api_key_id, second, calls)
select
    k.tenant_id,
    k.id,
    0,
    array_fill(0, array[61])
from limena.api_keys as k;
insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
select
    tests.tenant_id(t.name),
    'x@x.example',
    'viewer',
    sha256(t.name::bytea),
    tests.user_id(t.name, 'owner')
from (values ('a'), ('b')) as t (name);
insert into limena.outbox (tenant_id, id, template, recipient)
select
    tests.tenant_id(t.name),
    gen_random_uuid(),
    'invitation',
    'x@x.example'
from (values ('a'), ('b')) as t (name);
insert into limena.ai_settings (tenant_id) select tests.tenant_id(t.name)
from (values ('a'), ('b')) as t (name)
on conflict do nothing;

-- Every table with a tenant has a line, or one of these reasons to stay.
select is_empty(
    $$select c.relname
    from pg_class as c
    inner join pg_attribute as t on c.oid = t.attrelid and t.attname = 'tenant_id' and not t.attisdropped
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p')
        and not c.relispartition
        -- The log and what seals it end with its retention; who looked into the tenant is part of the log.
        and c.relname !~ '^audit_'
        and c.relname <> 'operator_access'
        and (select p.prosrc from pg_proc as p where p.oid = 'limena_private.erase_tenant(uuid)'::regprocedure)
            !~ ('delete from limena\.' || c.relname || ' as ')$$,
    'each table of tenants is erased'
);

-- What is not due stays.
create function pg_temp.rows_of(p_tenant text)
returns setof text
language plpgsql
as $$
declare
    v_table name;
    v_count bigint;
begin
    for v_table in
        select c.relname
        from pg_class as c
        inner join pg_attribute as t on c.oid = t.attrelid and t.attname = 'tenant_id' and not t.attisdropped
        where c.relnamespace = 'limena'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            and c.relname !~ '^audit_'
        order by c.relname collate "C"
    loop
        execute format('select count(*) from limena.%I as t where t.tenant_id = %L', v_table, tests.tenant_id(p_tenant))
        into v_count;
        if v_count > 0 then
            return next v_table || ' ' || v_count;
        end if;
    end loop;
end;
$$;
create temporary table before_erasing as select pg_temp.rows_of('b') as line;
select cmp_ok((select count(*) from before_erasing), '>=', 7::bigint, 'there is something to erase');
set local role limena_maintenance;
select is(limena.erase_tenants(), 0, 'nothing is due');
reset role;
update limena.tenants set state = 'deleting', deletion_due_at = now() + interval '1 hour'
where id = tests.tenant_id('a');
set local role limena_maintenance;
select is(limena.erase_tenants(), 0, 'not before its time');
reset role;
update limena.tenants set deletion_due_at = now() - interval '1 second'
where id = tests.tenant_id('a');
set local role limena_maintenance;
select is(limena.erase_tenants(), 1, 'then it is');
select is(limena.erase_tenants(), 0, 'once');
reset role;

select is_empty($$select pg_temp.rows_of('a')$$, 'nothing of it is left');
select results_eq(
    $$select pg_temp.rows_of('b')$$, 'select b.line from before_erasing as b', 'nothing of another tenant is gone'
);
select results_eq(
    $$select t.name, t.state, t.deletion_due_at from limena.tenants as t where t.id = tests.tenant_id('a')$$,
    $$values ('deleted'::text, 'deleted'::text, null::timestamptz)$$,
    'its row stays, without its name'
);
select is(
    (
        select count(*) from limena.users as u
        where u.email like '%@a.example'
    ),
    4::bigint, 'so do people''s accounts: they are theirs'
);
select is_empty(
    $$select l.action, l.changes
    from limena.audit_logs as l
    where l.tenant_id = tests.tenant_id('a')
        and (l.action like '%.deleted' or l.action = 'tenant.state_changed' and l.changes ? 'name')
        and l.changes::text ~ '(example|Tenant a)'$$,
    'erasing copies nothing of what it erases into the log'
);
select ok(
    (
        select count(*) from limena.audit_logs as l
        where l.tenant_id = tests.tenant_id('a') and l.action like '%.deleted' and l.changes::text ~ 'redacted'
    ) >= 5,
    'which tells that it went'
);
select results_eq(
    $$select l.action, l.actor_type
    from limena.audit_logs as l
    where l.tenant_id = tests.tenant_id('a')
    order by l.seq desc
    limit 1$$,
    $$values ('tenant.erased'::text, 'system'::text)$$,
    'and its log, which says what happened'
);
set local role limena_app;
select throws_ok($$select tests.enter_as('a')$$, '28000', null, 'nobody enters it');
select throws_ok($$select tests.enter_with_key('a')$$, '28000', null, 'with nothing');

select * from finish();
rollback;
