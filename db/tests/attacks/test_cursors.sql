-- Attack: open a cursor in one context and fetch from it in another. (WITH HOLD, which outlives the transaction:
-- api/tests/test_attacks.py.)
-- It would work if a policy's context were read when the cursor is declared and not when it runs, or if a rolled back
-- context left its cursors behind.
-- Known limit: a cursor that has begun to run under a genuine context goes on in it, for the rest of the transaction in
-- which the credential was proved.
begin;
select plan(11);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'key of a');
select tests.make_api_key(p_tenant => 'b', p_name => 'key of b');
set local session authorization limena_app;

-- What FETCH gives here: a cursor is read with FETCH inside EXECUTE.
declare without_context cursor for select k.name from limena.api_keys as k;  -- noqa: PRS
select is(tests.outcome('fetch all from without_context'), '0', 'declared without a context: nothing');
close without_context;

declare before_entering scroll cursor for select k.name from limena.api_keys as k;
select tests.enter_as('a', 'owner');
select results_eq('fetch all from before_entering', array['key of a'], 'declared before entering a: a''s rows');
close before_entering;

select tests.enter_as('b', 'owner');
declare of_b scroll cursor for select k.name from limena.api_keys as k;
select tests.enter_as('a', 'owner');
select results_eq('fetch all from of_b', array['key of a'], 'declared in b, first read in a: a''s rows');
close of_b;

savepoint inside;
select tests.enter_as('b', 'owner');
declare lost scroll cursor for select k.name from limena.api_keys as k;
select is(tests.outcome('fetch all from lost'), '1', 'b reads its key');
rollback to savepoint inside;
select is(tests.outcome('fetch backward all from lost'), '34000', 'ROLLBACK TO SAVEPOINT closes what was opened in b');

select tests.leave();
declare after_leaving cursor for select k.name from limena.api_keys as k;
select is(tests.outcome('fetch all from after_leaving'), '0', 'after leaving: nothing');
close after_leaving;

select set_config('app.current_tenant_id', tests.tenant_id('b')::text, true);
declare forged cursor for select k.name from limena.api_keys as k;
select is(tests.outcome('fetch all from forged'), '42501', 'in a forged context: refused');
close forged;

-- The context is changed while the cursor runs: what it reads stays with the tenant that it began with.
select tests.enter_as('a', 'owner');
declare running scroll cursor for
select k.name, set_config('app.current_tenant_id', tests.tenant_id('b')::text, true)
from limena.api_keys as k
cross join generate_series(1, 3);
select is(tests.outcome('fetch all from running'), '3', 'changing the tenant from inside a running query: a''s rows go on');
select is(tests.outcome('select from limena.api_keys'), '1', 'and what the cursor did was undone with it');
select results_eq(
    $$select k.name
    from (select k.name, set_config('app.current_tenant_id', tests.tenant_id('b')::text, true) from limena.api_keys as k offset 0) as k$$,
    array['key of a'],
    'the same in one statement'
);
select is(tests.outcome('select from limena.api_keys'), '42501', 'and the next one is refused');

select * from finish();
rollback;
