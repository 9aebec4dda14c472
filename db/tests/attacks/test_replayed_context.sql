-- Attack: bring back a context that was genuine a moment ago in the same transaction: after leaving it, after entering
-- another tenant, after ROLLBACK TO SAVEPOINT. (Other transactions, messages and backends: api/tests/test_attacks.py.)
-- It would work without: a seal over tenant and context; set_config(…, is_local => true), which a rollback takes back;
-- and for the last attack, the condition in enter_api_key() that the key is older than the transaction.
begin;
select plan(17);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_scopes => '{api_keys:read, api_keys:write}');
select tests.make_api_key(p_tenant => 'b');
delete from limena.api_key_uses where tenant_id = tests.tenant_id('b');  -- noqa: LT14

set local session authorization limena_app;

-- Entering inside a savepoint that is rolled back leaves nothing behind.
savepoint before;  -- noqa: PRS
select tests.enter_as('a', 'owner');
select set_config('attack.kept', '', false);
rollback to savepoint before;
select is(tests.loot(), '', 'after ROLLBACK TO SAVEPOINT nobody is in tenant a');
select is(tests.harm(), '', 'and nothing can be changed');
select is(limena.current_context(), null, 'the context is gone');

-- Nor does an error in a block.
do $$
begin
    perform tests.enter_as('a', 'owner');
    raise exception 'out';
exception
    when others then null;
end;
$$;
select is(limena.current_context(), null, 'after an exception the context is gone');

-- Rolling back to before the second of two contexts brings back the first, seal and all.
select tests.enter_as('a', 'viewer');
savepoint between;
select tests.enter_as('b', 'owner');
select is(limena.current_tenant_id(), tests.tenant_id('b'), 'whoever has two credentials can go from a to b');
rollback to savepoint between;
select is(limena.current_tenant_id(), tests.tenant_id('a'), 'ROLLBACK TO SAVEPOINT goes back to a');
select is(limena.current_context() ->> 'role', 'viewer', 'as what one was there');
select is(tests.loot('a'), '', 'and nothing of b is left');
select is(tests.harm('a'), '', 'nor can be changed');

-- An owner's seal of earlier in this transaction, with a viewer's context.
select tests.enter_as('a', 'owner');
select set_config('attack.seal', current_setting('app.seal'), true);
select tests.enter_as('a', 'viewer');
select is(tests.plunder(null, null, current_setting('attack.seal')), '', 'the seal of the same tenant''s owner seals no viewer');
select is(
    tests.plunder(tests.tenant_id('b')::text, null, current_setting('attack.seal'), 'a'), '', 'nor another tenant'
);

-- A phantom: make a key, enter with it, roll its making back, and go on under its name. The log would tell of a key
-- that never was.
select tests.enter_as('a', 'owner');
savepoint phantom;
select limena.create_api_key('Phantom', '{api_keys:read, api_keys:write}', 'lmn_abcdef', '0000', sha256('phantom'));
select is(
    tests.error_of($$select limena.enter_api_key(sha256('phantom'))$$), '28000 the API key is not valid',
    'nobody enters with a key of the same transaction'
);
rollback to savepoint phantom;
select is(limena.current_context() ->> 'actor_type', 'user', 'whoever made it stays who they are');

-- Emptying one parameter of a genuine context does not turn it into another genuine one.
select tests.enter_as('a', 'owner');
select is(tests.plunder('', null, null), '', 'a context without its tenant');
select is(tests.plunder(null, '', null), '', 'a tenant without its context');
select is(tests.plunder(null, null, ''), '', 'both without the seal');
select is(tests.plunder('', '', null), '', 'a seal alone');

select * from finish();
rollback;
