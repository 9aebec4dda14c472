-- The filters of list_audit_logs(): each is served by an index in the list's order, however rare what it asks for.
-- Fails without the indexes, or with a plan that is made for all filters at once.
begin;
select plan(6);

select tests.make_tenants();
insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type, actor_id, entity_type, entity_id)
select
    tests.tenant_id('a'),
    now() + g * interval '1 microsecond',
    nextval('limena.audit_logs_seq_seq'),
    gen_random_uuid(),
    'session.created',
    'user',
    tests.user_id('a', 'owner'),
    'session',
    g::text
from generate_series(1, 20000) as g;
analyze limena.audit_logs;

-- Rows that the procedure's own reading touched: statistics of this transaction.
create function pg_temp.rows_read(p_call text)
returns bigint
language plpgsql
as $$
declare
    v_before bigint;
    v_after bigint;
    v_query text :=
        'select sum(pg_stat_get_xact_tuples_returned(i.inhrelid) + pg_stat_get_xact_tuples_fetched(i.inhrelid)) '
        'from pg_inherits as i where i.inhparent = ''limena.audit_logs''::regclass';
begin
    execute v_query into v_before;
    execute p_call;
    execute v_query into v_after;
    return v_after - v_before;
end;
$$;
grant execute on function pg_temp.rows_read(text) to public;

set local role limena_app;
select tests.enter_as('a', 'owner');
select cmp_ok(pg_temp.rows_read(f.call), '<', 2000::bigint, f.call)
from (
    values
    ('select limena.list_audit_logs()'),
    ('select limena.list_audit_logs(p_action => ''tenant.created'')'),
    ('select limena.list_audit_logs(p_action => ''tenant.frozen'')'),
    ('select limena.list_audit_logs(p_actor_id => tests.user_id(''b'', ''owner''))'),
    ('select limena.list_audit_logs(p_entity_type => ''tenant'')'),
    ('select limena.list_audit_logs(p_entity_id => ''4711'')')
) as f (call);

select * from finish();
rollback;
