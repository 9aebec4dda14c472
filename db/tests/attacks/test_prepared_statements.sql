-- Attack: prepare a statement in one tenant's context and run it in another's, as an attacker whose backend served
-- tenant b a moment ago and keeps its plans.
-- It would work if a plan held the tenant for which it was made: if current_tenant_id() or has_permission() were
-- IMMUTABLE.
-- (Statements planted under a driver's names: api/tests/test_attacks.py.)
begin;
select plan(30);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'key of a');
select tests.make_api_key(p_tenant => 'b', p_name => 'key of b');
insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
select
    tests.tenant_id(t.name),
    'guest@x.example',
    'member',
    sha256(t.name::bytea),
    tests.user_id(t.name, 'owner')
from (values ('a'), ('b')) as t (name);
set local session authorization limena_app;

-- A statement of each kind, made in b's context and run there until its plan is settled.
set local plan_cache_mode = auto;
select tests.enter_as('b', 'owner');
prepare names as select k.name from limena.api_keys as k;
prepare named (uuid) as select k.name from limena.api_keys as k
where k.tenant_id = $1 or k.id = $1;
prepare tenant as select limena.current_tenant_id();
prepare members as select m.user_id from limena.memberships as m;
prepare revoke as update limena.invitations set withdrawn_at = null returning email;
prepare through_procedure as select i ->> 'name' from json_array_elements(limena.list_api_keys() -> 'items') as i;
do $$
begin
    for i in 1..8 loop
        execute 'execute names';
        execute format('execute named (%L)', tests.tenant_id('b'));
        execute 'execute tenant';
        execute 'execute members';
        execute 'execute through_procedure';
    end loop;
end;
$$;
select results_eq('execute names', array['key of b'], 'b sees its key');

select tests.enter_as('a', 'owner');
select results_eq('execute names', array['key of a'], 'auto: run by a, a plan of b''s shows a''s');
select is_empty(format('execute named (%L)', tests.tenant_id('b')), 'auto: asked for b''s tenant, nothing');
select is_empty(format('execute named (%L)', tests.api_key_id('b', 'key of b')), 'auto: asked for b''s key, nothing');
select results_eq('execute tenant', array[tests.tenant_id('a')], 'auto: the tenant is a');
select results_eq('execute through_procedure', array['key of a'], 'auto: a procedure''s own plans follow');
select is(tests.outcome('execute members'), '4', 'auto: the members are a''s');
select is(tests.outcome('execute revoke'), '1', 'auto: an update meets a''s invitation alone');

set local plan_cache_mode = force_generic_plan;
select results_eq('execute names', array['key of a'], 'generic: run by a, it shows a''s');
select is_empty(format('execute named (%L)', tests.tenant_id('b')), 'generic: asked for b''s tenant, nothing');
select results_eq('execute tenant', array[tests.tenant_id('a')], 'generic: the tenant is a');
select results_eq('execute through_procedure', array['key of a'], 'generic: a procedure''s own plans follow');
select is(tests.outcome('execute revoke'), '1', 'generic: an update meets a''s invitation alone');

set local plan_cache_mode = force_custom_plan;
select results_eq('execute names', array['key of a'], 'custom: run by a, it shows a''s');
select is_empty(format('execute named (%L)', tests.tenant_id('b')), 'custom: asked for b''s tenant, nothing');
select results_eq('execute tenant', array[tests.tenant_id('a')], 'custom: the tenant is a');
select results_eq('execute through_procedure', array['key of a'], 'custom: a procedure''s own plans follow');
select is(tests.outcome('execute revoke'), '1', 'custom: an update meets a''s invitation alone');

-- With fewer rights in the same tenant, and with none.
set local plan_cache_mode = force_generic_plan;
select tests.enter_as('a', 'viewer');
select is_empty('execute names', 'a viewer gets nothing from the plan of an owner');
select is(tests.outcome('execute through_procedure'), '42501', 'and the procedure refuses');
select is(tests.outcome('execute revoke'), '0', 'and changes nothing');
select tests.leave();
select is_empty('execute names', 'without a context: nothing');
select is_empty('execute members', 'no member');
select results_eq('execute tenant', array[null::uuid], 'no tenant');
select is(tests.outcome('execute revoke'), '0', 'and nothing is changed');

-- With a forged context a cached plan is no way round the seal.
select set_config('app.current_tenant_id', tests.tenant_id('b')::text, true);
select is(tests.outcome('execute names'), '42501', 'forged: refused');
select is(tests.outcome('execute revoke'), '42501', 'forged: an update is refused');
select is(tests.outcome('execute tenant'), '42501', 'forged: the tenant is not told');
select is(tests.outcome('execute members'), '42501', 'forged: no member');
select is(tests.outcome('execute through_procedure'), '42501', 'forged: the procedure refuses');

select * from finish();
deallocate all;
rollback;
