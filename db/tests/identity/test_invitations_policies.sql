-- limena.invitations below the API: each actor, own tenant and another's. Fails without
-- db/policies/identity/invitations.sql.
begin;
select plan(24);

select results_eq(
    $$select tests.policies_of('limena.invitations')$$,
    array[
        'invitations_delete_owner: delete to limena_owner',
        'invitations_insert_app: insert to limena_app',
        'invitations_select_app: select to limena_app',
        'invitations_select_owner: select to limena_owner',
        'invitations_select_readonly: select to limena_readonly',
        'invitations_update_app: update to limena_app',
        'invitations_update_owner: update to limena_owner'
    ],
    'exactly these policies'
);
select is(tests.row_security_of('limena.invitations'), 'forced', 'row-level security binds the owner too');
select results_eq(
    $$select tests.privileges_of('limena.invitations')$$,
    array[
        'limena_app: insert (tenant_id, id, email, role, token_hash, invited_by)',
        'limena_app: select (tenant_id, id, email, role, invited_by, created_at, expires_at, accepted_at,'
        ' withdrawn_at)',
        'limena_app: update (withdrawn_at)',
        'limena_readonly: select (tenant_id, id, email, role, invited_by, created_at, expires_at, accepted_at,'
        ' withdrawn_at)'
    ],
    'exactly these privileges: token_hash for nobody to read, the times for nobody to write'
);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a', p_name => 'reader', p_scopes => '{invitations:read}');
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{invitations:write}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{ai:use}');
insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
values
(
    tests.tenant_id('a'),
    tests.id('invitation', 'a'),
    'new@a.example',
    'member',
    sha256('a'),
    tests.user_id('a', 'owner')
),
(
    tests.tenant_id('b'),
    tests.id('invitation', 'b'),
    'new@b.example',
    'member',
    sha256('b'),
    tests.user_id('b', 'owner')
);

-- Someone who invites `p_role` into a tenant as somebody; as a function, because the statement is the same for all of
-- them.
create function pg_temp.inviting(p_tenant text, p_role text, p_inviter text default 'limena.current_user_id()')
returns text
language sql
as $$
select format(
    'insert into limena.invitations (tenant_id, email, role, token_hash, invited_by) values (%L,'
    ' ''x@x.example'', %L, sha256(''x''), %s)',
    tests.tenant_id(p_tenant), p_role, p_inviter
)
$$;

set local role limena_app;
select is(
    tests.outcomes(
        'select id from limena.invitations', '{nobody, viewer, member, admin, owner, reader, writer, other}'
    ),
    'nobody 0, viewer 0, member 0, admin 1, owner 1, reader 1, writer 1, other 0',
    'invitations:read sees those of one tenant'
);
select is(
    tests.outcomes($$select id from limena.invitations where tenant_id = tests.tenant_id('a')$$),
    'nobody 0, viewer 0, member 0, admin 1, owner 1',
    'their own'
);
select is(
    tests.outcomes($$select id from limena.invitations where id = tests.id('invitation', 'b')$$),
    'nobody 0, viewer 0, member 0, admin 0, owner 0',
    'another''s is not there'
);
select is(
    tests.outcomes('select token_hash from limena.invitations'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody reads a token''s hash'
);
select is(
    tests.outcomes(pg_temp.inviting('a', 'admin'), '{nobody, viewer, member, admin, owner, reader, writer, other}'),
    'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, reader 42501, writer 42501, other 42501',
    'invitations:write invites, to what one is oneself: a key with nothing else makes nobody anything'
);
select is(
    tests.outcomes(pg_temp.inviting('a', 'owner'), '{nobody, viewer, member, admin, owner, writer}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1, writer 42501',
    'an owner is invited by an owner alone'
);
select is(
    tests.outcomes(pg_temp.inviting('b', 'viewer'), '{nobody, viewer, member, admin, owner, writer}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501, writer 42501',
    'nobody invites into another tenant'
);
select is(
    tests.outcomes(pg_temp.inviting('a', 'viewer', quote_literal(tests.user_id('a', 'viewer')))),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody invites in another''s name'
);
select is(
    tests.outcomes(
        $$insert into limena.invitations (tenant_id, email, role, token_hash, invited_by, expires_at)
        values (
            limena.current_tenant_id(), 'x@x.example', 'viewer', sha256('x'), limena.current_user_id(), 'infinity'
        )$$
    ),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody says how long an invitation lives'
);
select is(
    tests.outcomes($$update limena.invitations set role = 'owner'$$),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody changes one'
);
select is(
    tests.outcomes(
        'update limena.invitations set withdrawn_at = now()',
        '{nobody, viewer, member, admin, owner, reader, writer, other}'
    ),
    'nobody 0, viewer 0, member 0, admin 1, owner 1, reader 0, writer 1, other 0',
    'invitations:write withdraws those of its tenant'
);
select is(
    tests.outcomes($$update limena.invitations set withdrawn_at = now() where id = tests.id('invitation', 'b')$$),
    'nobody 0, viewer 0, member 0, admin 0, owner 0',
    'another tenant''s is not there to be withdrawn'
);
select is(
    tests.outcomes('delete from limena.invitations'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 42501',
    'nobody deletes one'
);

set local role limena_readonly;
select is(
    tests.outcome('select id, email, accepted_at from limena.invitations'),
    '0',
    'limena_readonly sees none before access is declared'
);
select is(tests.outcome('select token_hash from limena.invitations'), '42501', 'and no hash ever');

set local role limena_auth;
select is(tests.outcome('select id from limena.invitations'), '42501', 'limena_auth touches no table');

set local role limena_maintenance;
select is(tests.outcome('select id from limena.invitations'), '42501', 'nor does limena_maintenance');

set local role limena_owner;
select is(tests.outcome('select id from limena.invitations'), '2', 'limena_owner finds them, for accept_invitation');
select is(tests.outcome('update limena.invitations set accepted_at = now()'), '2', 'marks them, for accept_invitation');
select is(
    tests.outcome(pg_temp.inviting('a', 'viewer', quote_literal(tests.user_id('a', 'owner')))),
    '42501',
    'makes none: no policy says so'
);
select is(tests.outcome('delete from limena.invitations'), '2', 'deletes them, for erase_tenant and prune');

select * from finish();
rollback;
