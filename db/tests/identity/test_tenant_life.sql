-- limena.get_tenant(), update_tenant(), delete_tenant() and restore_tenant(), list_permissions() and the invitations'
-- procedures: who may, and what they refuse. Fails without them.
begin;
select plan(28);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'own', p_scopes => '{tenant:own}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{ai:use}');
insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by, expires_at, accepted_at)
values
(
    tests.tenant_id('a'), tests.id('invitation', 'open'), 'open@x.example', 'viewer', sha256('open'),
    tests.user_id('a', 'owner'), now() + interval '1 day', null
),
(
    tests.tenant_id('a'), tests.id('invitation', 'over'), 'over@x.example', 'viewer', sha256('over'),
    tests.user_id('a', 'owner'), now() - interval '1 day', null
),
(
    tests.tenant_id('a'), tests.id('invitation', 'used'), 'used@x.example', 'viewer', sha256('used'),
    tests.user_id('a', 'owner'), now() + interval '1 day', now()
),
(
    tests.tenant_id('b'), tests.id('invitation', 'b'), 'b@x.example', 'viewer', sha256('b'),
    tests.user_id('b', 'owner'), now() + interval '1 day', null
);

set local role limena_app;
select is(tests.outcomes(c.call, '{nobody, viewer, member, admin, owner, own, other}'), c.expected, c.call)
from (
    values
    (
        'select limena.get_tenant()',
        'nobody 42501, viewer 1, member 1, admin 1, owner 1, own 42501, other 42501'
    ),
    (
        $$select limena.update_tenant('x')$$,
        'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, own 42501, other 42501'
    ),
    (
        'select limena.set_audit_retention(30)',
        'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1, own 1, other 42501'
    ),
    (
        $$select limena.delete_tenant('Tenant a')$$,
        'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1, own 1, other 42501'
    ),
    (
        'select limena.restore_tenant()',
        'nobody 42501, viewer 42501, member 42501, admin 42501, owner LM002, own LM002, other 42501'
    ),
    (
        'select limena.list_permissions()',
        'nobody 42501, viewer 1, member 1, admin 1, owner 1, own 1, other 1'
    ),
    (
        'select limena.list_invitations()',
        'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, own 42501, other 42501'
    ),
    (
        format('select limena.withdraw_invitation(%L)', tests.id('invitation', 'open')),
        'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, own 42501, other 42501'
    ),
    (
        format('select limena.withdraw_invitation(%L)', tests.id('invitation', 'used')),
        'nobody 42501, viewer 42501, member 42501, admin P0002, owner P0002, own 42501, other 42501'
    ),
    (
        format('select limena.withdraw_invitation(%L)', tests.id('invitation', 'b')),
        'nobody 42501, viewer 42501, member 42501, admin P0002, owner P0002, own 42501, other 42501'
    ),
    (
        format('select limena.mail_invitation(%L)', tests.id('invitation', 'open')),
        'nobody P0002, viewer P0002, member P0002, admin 1, owner 1, own P0002, other P0002'
    ),
    (
        format('select limena.mail_invitation(%L)', tests.id('invitation', 'b')),
        'nobody P0002, viewer P0002, member P0002, admin P0002, owner P0002, own P0002, other P0002'
    )
) as c (call, expected);

select tests.enter_as('a', 'owner');
select is(
    limena.list_invitations()::jsonb #>> '{items, 0, email}', 'open@x.example', 'the open ones are listed'
);
select is(jsonb_array_length(limena.list_invitations()::jsonb -> 'items'), 1, 'and no other');
select
    is(
        tests.error_of(format('select limena.delete_tenant(%L)', n.name)),
        '22023 must be the tenant''s name, as it is written; column name',
        'the name is asked for: ' || coalesce(n.name, 'NULL')
    )
from (values ('tenant a'), ('Tenant b'), (''), (null)) as n (name);

-- A mail goes out once, and not to a member.
select limena.mail_invitation(tests.id('invitation', 'open'));
select is(
    tests.outcome(format('select limena.mail_invitation(%L)', tests.id('invitation', 'open'))),
    '23505',
    'one mail an invitation'
);
select is(
    tests.error_of(
        $$select limena.create_invitation('member@a.example', 'viewer', sha256('m'), gen_random_uuid())$$
    ),
    'LM002 This person is a member already.', 'none to a member'
);
reset role;
select results_eq(
    $$select o.tenant_id, o.template, o.recipient, o.parameters from limena.outbox as o$$,
    $$values (
        tests.tenant_id('a'), 'invitation', 'open@x.example', '{"inviter": "owner of a", "tenant_name": "Tenant a"}'::jsonb
    )$$,
    'it names the tenant and the person, and no token'
);

-- However long they keep at it, and from however many tenants: 20 within an hour to one address. 300 were asked for ten
-- hours ago, and those that came later wait for their turn.
delete from limena.outbox;
insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
values (
    tests.tenant_id('a'), tests.id('invitation', 'flood'), 'flooded@x.example', 'viewer', sha256('flood'),
    tests.user_id('a', 'owner')
);
insert into limena.outbox (tenant_id, id, template, recipient, created_at, due_at)
select
    tests.tenant_id('b'),
    gen_random_uuid(),
    'invitation',
    'flooded@x.example',
    now() - interval '10 hours',
    now() + (g.n / 20 - 10) * interval '1 hour'
from generate_series(0, 299) as g (n);
set local role limena_app;
select tests.enter_as('a', 'owner');
select limena.mail_invitation(tests.id('invitation', 'flood'));
reset role;
select is(
    (
        select o.due_at - now() from limena.outbox as o
        where o.id = tests.id('invitation', 'flood')
    ), interval '5 hours',
    'it waits for the first hour with room: 20 are due in each before'
);
delete from limena.outbox as o
where o.id = tests.id('invitation', 'flood');
insert into limena.outbox (tenant_id, id, template, recipient, created_at, due_at)
select
    tests.tenant_id('b'),
    gen_random_uuid(),
    'invitation',
    'flooded@x.example',
    now(),
    now() + (5 + g.n / 20) * interval '1 hour'
from generate_series(0, 379) as g (n);
set local role limena_app;
select tests.enter_as('a', 'owner');
select limena.mail_invitation(tests.id('invitation', 'flood'));
reset role;
select is(
    (
        select o.abandoned_at from limena.outbox as o
        where o.id = tests.id('invitation', 'flood')
    ), now(),
    'and where a day is full, it is made all the same, and never sent'
);

-- Deleted, and restored.
set local role limena_app;
select tests.enter_as('a', 'owner');
select limena.delete_tenant('Tenant a');
select is(
    tests.outcomes('select limena.restore_tenant()', '{nobody, viewer, member, admin, owner, own, other}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1, own 1, other 42501',
    'an owner takes it back, although tenant:own is withheld'
);

-- Frozen meanwhile: the deletion waits, and is not forgotten.
reset role;
select limena_private.freeze_tenant(tests.tenant_id('a'), 'abuse');
select results_eq(
    $$select t.state, t.deletion_due_at > now() + interval '29 days'
    from limena.tenants as t where t.id = tests.tenant_id('a')$$,
    $$values ('frozen'::text, true)$$, 'a freeze keeps the day of the deletion'
);
update limena.tenants set deletion_due_at = now() - interval '1 day'
where id = tests.tenant_id('a');
set local role limena_maintenance;
select is(limena.erase_tenants(), 0, 'and what is frozen is not erased');
reset role;
select limena_private.unfreeze_tenant(tests.tenant_id('a'), 'cleared');
select results_eq(
    $$select t.state, t.deletion_due_at > now() + interval '6 days'
    from limena.tenants as t where t.id = tests.tenant_id('a')$$,
    $$values ('deleting'::text, true)$$, 'after it there is a week to restore it'
);
set local role limena_app;
select tests.enter_as('a', 'owner');
select is((limena.restore_tenant() ->> 'state'), 'active', 'which an owner does');

select * from finish();
rollback;
