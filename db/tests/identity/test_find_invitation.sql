-- limena.find_invitation(): what whoever has a link is shown before they accept, and when nothing. Fails without a
-- condition of limena_private.open_invitation().
begin;
select plan(18);

select tests.make_tenants();
insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
values
(
    tests.tenant_id('a'), tests.id('invitation', 'new'), 'new@x.example', 'member', sha256('new'),
    tests.user_id('a', 'admin')
),
(
    tests.tenant_id('a'), tests.id('invitation', 'known'), 'owner@b.example', 'member', sha256('known'),
    tests.user_id('a', 'admin')
);

-- Found after something happened, which is undone.
create function tests.found_after(p_statement text)
returns text
language plpgsql
as $$
begin
    execute p_statement;
    raise exception '%', (select count(*) from limena.find_invitation(sha256('new'))) using errcode = 'TS000';
exception
    when sqlstate 'TS000' then return sqlerrm;
end;
$$;

-- Whose it is to call.
set local session authorization limena_app;
select is(
    tests.outcomes('select limena.find_invitation(sha256(''new''))'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501', 'not limena_app''s'
);
set local session authorization limena_readonly;
select is(tests.outcome('select limena.find_invitation(sha256(''new''))'), '42501', 'nor an operator''s');
set local session authorization limena_maintenance;
select is(tests.outcome('select limena.find_invitation(sha256(''new''))'), '42501', 'nor limena_maintenance''s');

set local session authorization limena_auth;
select results_eq(
    $$select i.id, i.email, i.is_known, i.tenant_names from limena.find_invitation(sha256('new')) as i$$,
    $$values (tests.id('invitation', 'new'), 'new@x.example', false, array['Tenant a'])$$,
    'the address, and the tenant''s name alone'
);
select results_eq(
    $$select i.email, i.is_known from limena.find_invitation(sha256('known')) as i$$,
    $$values ('owner@b.example', true)$$,
    'and whether the address has an account'
);
select is_empty(format('select from limena.find_invitation(%s)', h.hash), 'no row for ' || h.hash)
from (
    values ('null'),
    ('''\x'''),
    ('sha256(''other'')'),
    ('''new''::bytea'),
    (quote_literal(tests.session_hash('a', 'owner')))
) as h (hash);

-- When it counts no longer.
set local session authorization postgres;
select is(tests.found_after(s.statement), s.expected, s.name)
from (
    values
    ('select', '1', 'nothing happened'),
    ('update limena.invitations set accepted_at = now()', '0', 'it was accepted'),
    ('update limena.invitations set withdrawn_at = now()', '0', 'withdrawn'),
    ('update limena.invitations set expires_at = now()', '0', 'it is over'),
    ('update limena.tenants set state = ''frozen''', '1', 'its tenant is frozen, which accepting finds'),
    (
        format('delete from limena.memberships where user_id = %L', tests.user_id('a', 'admin')), '0',
        'its maker was removed'
    ),
    (
        format('update limena.memberships set role = ''member'' where user_id = %L', tests.user_id('a', 'admin')), '0',
        'or lowered'
    ),
    (
        format(
            'update limena.memberships set created_at = created_at + interval ''1 s'' where user_id = %L',
            tests.user_id('a', 'admin')
        ), '0', 'or went and came back after it was made'
    )
) as s (statement, expected, name);

select * from finish();
rollback;
