-- limena.is_withheld(), require_even_frozen() and tenant_even_frozen(), and what a frozen or deleted tenant tells:
-- describe_tenant(), tenant_notices(), notices(). Fails without the line between what is missing and what is withheld.
begin;
select plan(25);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{tenant:read}');

create function tests.set_state(p_tenant text, p_state text)
returns void
language sql
as $$
update limena.tenants
set state = p_state, deletion_due_at = case p_state when 'deleting' then now() + interval '30 days' end
where id = tests.tenant_id(p_tenant)
$$;
-- 'held' 'withheld' 'missing' of a permission, as three functions say; each has to say the same.
create function tests.standing(p_permission text)
returns text
language plpgsql
as $$
declare
    v_by_predicate text := case
        when limena.has_permission(p_permission) then 'held'
        when limena.is_withheld(p_permission) then 'withheld'
        else 'missing'
    end;
    v_by_require text := case tests.outcome(format('select limena.require(%L)', p_permission))
        when '1' then 'held'
        when 'LM001' then 'withheld'
        when '42501' then 'missing'
    end;
    v_by_tenant text := case
        when limena.tenant_with(p_permission) is not null then 'held'
        when limena.tenant_even_frozen(p_permission) is not null then 'withheld'
        else 'missing'
    end;
    v_even_frozen text := tests.outcome(format('select limena.require_even_frozen(%L)', p_permission));
begin
    if v_by_predicate <> v_by_require
        or v_by_predicate <> v_by_tenant
        or (v_by_predicate = 'missing') <> (v_even_frozen = '42501')
        or v_even_frozen not in ('1', '42501') then
        return format('%s, %s, %s, %s', v_by_predicate, v_by_require, v_by_tenant, v_even_frozen);
    end if;
    return v_by_predicate;
end;
$$;

set local session authorization limena_app;
select is(tests.standing('tenant:read'), 'missing', 'without a context everything is missing');
select is(limena.describe_tenant(), null, 'there is no tenant');
select is(limena.tenant_notices(), '[]', 'and nothing to notice');

select tests.enter_as('a', 'admin');
select is(tests.standing(p.name), p.standing, 'an admin of an active tenant, ' || p.name)
from (
    values
    ('tenant:read', 'held'),
    ('tenant:write', 'held'),
    ('tenant:own', 'missing'),
    ('no:such', 'missing'),
    ('', 'missing')
) as p (name, standing);
select is(limena.describe_tenant() ->> 'state', 'active', 'is told that it is');
select is(limena.notices(), '[]', 'and no more');
select is(tests.standing(null), 'missing', 'no permission is missing');

set local session authorization postgres;
select tests.set_state('b', 'frozen');
set local session authorization limena_app;
select tests.enter_as('a', 'admin');
select is(tests.standing('tenant:write'), 'held', 'another tenant that is frozen changes nothing');
select is(limena.notices(), '[]', 'and is not told of');

set local session authorization postgres;
select tests.set_state('a', 'frozen');
set local session authorization limena_app;
select is(tests.standing('tenant:write'), 'held', 'a context that is there goes on to its transaction''s end');
select tests.enter_as('a', 'admin');
select is(tests.standing(p.name), p.standing, 'an admin of a frozen tenant, ' || p.name)
from (
    values
    ('tenant:read', 'held'), ('tenant:write', 'withheld'), ('tenant:own', 'missing'), ('no:such', 'missing')
) as p (name, standing);
select is(limena.describe_tenant() ->> 'state', 'frozen', 'is told');
select is(limena.notices() #>> '{0, code}', 'tenant_frozen', 'as everybody who looks at the banner');
select tests.enter_with_key('a', 'reader');
select is(tests.standing('tenant:write'), 'missing', 'what a key does not have is missing, not withheld');
set local session authorization postgres;
select tests.set_state('a', 'deleting');
set local session authorization limena_app;
select tests.enter_as('a', 'viewer');
select is(tests.standing('tenant:write'), 'missing', 'nor is what a viewer does not have');
select tests.enter_as('a', 'owner');
select is(tests.standing('tenant:own'), 'withheld', 'an owner''s is, in a tenant that is to be deleted');
select is(
    limena.notices() -> 0 ->> 'until', limena.describe_tenant() ->> 'deletion_due_at',
    'whose notice says when'
);

select set_config('app.current_tenant_id', tests.tenant_id('b')::text, true);
select is(tests.outcome('select limena.is_withheld(''tenant:own'')'), '42501', 'a forged context is refused');

select * from finish();
rollback;
