-- limena.create_invitation(): who may ask whom to be what. Fails without the function.
begin;
select plan(23);

select tests.make_tenants();
select tests.make_api_key(
    p_tenant => 'a', p_name => 'full',
    p_scopes => '{invitations:write, tenant:read, members:read, integrations:read, integrations:use, ai:read, ai:use}'
);
select tests.make_api_key(p_tenant => 'a', p_name => 'writer', p_scopes => '{invitations:write}');
select tests.make_api_key(p_tenant => 'a', p_name => 'other', p_scopes => '{invitations:read}');
create temporary table logged as select l.id from limena.audit_logs as l;
create temporary table answers (answer jsonb);
grant insert on answers to limena_app;
create function pg_temp.inviting(p_role text)
returns text
language sql
as $$ select format('select limena.create_invitation(''x@x.example'', %L, sha256(''x''))', p_role) $$;

-- Who may.
set local role limena_app;
select
    is(
        tests.outcomes(pg_temp.inviting(r.role), '{nobody, viewer, member, admin, owner, full, writer, other}'),
        format(
            'nobody 42501, viewer 42501, member 42501, admin 1, owner 1, full %s, writer 42501, other 42501', r.answer
        ),
        'whoever has invitations:write, and holds all that the role would give, invites a ' || r.role
    )
from (values ('viewer', '1'), ('member', '1'), ('admin', '42501')) as r (role, answer);
select is(
    tests.outcomes(pg_temp.inviting('owner'), '{nobody, viewer, member, admin, owner, full, writer, other}'),
    'nobody 42501, viewer 42501, member 42501, admin 42501, owner 1, full 42501, writer 42501, other 42501',
    'an owner is invited by an owner alone'
);
select tests.enter_as('a', 'viewer');
select is(
    tests.error_of(pg_temp.inviting('viewer')),
    '42501 permission denied; detail invitations:write',
    'else it says what is missing'
);
select tests.enter_as('a', 'admin');
select is(
    tests.error_of(pg_temp.inviting('owner')),
    '42501 permission denied; detail tenant:own',
    'and what for an owner'
);

-- What comes of it.
select limena.enter_session(tests.session_hash('a', 'owner'), tests.tenant_id('a'), 'request 1');
insert into answers values (limena.create_invitation(' New@X.Example ', 'admin', sha256('marked token')));
reset role;
select results_eq(
    $$select i.tenant_id, i.email, i.role::text, i.token_hash, i.invited_by, i.created_at, i.expires_at, i.accepted_at
    from limena.invitations as i$$,
    $$values (
        tests.tenant_id('a'), 'new@x.example', 'admin', sha256('marked token'), tests.user_id('a', 'owner'),
        now(), now() + interval '7 days', null::timestamptz
    )$$,
    'one invitation, into the caller''s tenant, in the caller''s name, for 7 days'
);
set local timezone = 'UTC';
select
    is(
        a.answer,
        jsonb_build_object(
            'id', i.id, 'email', 'new@x.example', 'role', 'admin', 'invited_by', tests.user_id('a', 'owner'),
            'created_at', now(), 'expires_at', now() + interval '7 days'
        ),
        'the answer says so, without the hash'
    )
from answers as a
cross join limena.invitations as i;
select
    is(
        (
            select
                to_jsonb(l) - '{id, seq, occurred_at, changes, who_salt, changes_salt}'::text[]
                - '{on_behalf_of_id, on_behalf_of_label}'::text[]
            from limena.audit_logs as l
            where l.id not in (select g.id from logged as g)
        ),
        jsonb_build_object(
            'tenant_id', tests.tenant_id('a'), 'action', 'invitation.created', 'actor_type', 'user',
            'actor_id', tests.user_id('a', 'owner'), 'actor_label', 'owner@a.example', 'entity_type', 'invitation',
            'entity_id', i.id, 'details', '{}'::jsonb, 'request_id', 'request 1', 'ip', null, 'user_agent', null
        ),
        'and so does the log'
    )
from limena.invitations as i;
select is_empty(
    format(
        'select l.id from limena.audit_logs as l where l::text like ''%%%s%%''', encode(sha256('marked token'), 'hex')
    ),
    'in which the hash is not'
);

-- With a key, in the name of its creator.
set local role limena_app;
select tests.enter_with_key('a', 'full');
select lives_ok(
    $$select limena.create_invitation('second@x.example', 'viewer', sha256('second'))$$,
    'a key that may write invitations but not read them makes one'
);
reset role;
select results_eq(
    $$select i.invited_by from limena.invitations as i where i.email = 'second@x.example'$$,
    array[tests.user_id('a', 'owner')],
    'in the name of its creator'
);

-- What it refuses.
set local role limena_app;
select tests.enter_as('a', 'owner');
select matches(tests.error_of(w.statement), w.pattern, w.description)
from (
    values
    (
        $$select limena.create_invitation('x@x.example', 'viewer', sha256('marked token'))$$,
        '^23505 .*constraint invitations_token_hash_key$',
        'a token that was used for another'
    ),
    (
        $$select limena.create_invitation('x@x.example', 'boss', sha256('x'))$$,
        '^22023 there is no such role; column role$', 'a role that is none'
    ),
    (
        $$select limena.create_invitation('x@x.example', 'Owner', sha256('x'))$$,
        '^22023 there is no such role; column role$', 'one that is written otherwise'
    ),
    (
        $$select limena.create_invitation('x@x.example', null, sha256('x'))$$,
        '^22023 there is no such role; column role$', 'no role'
    ),
    (
        $$select limena.create_invitation('no address', 'viewer', sha256('x'))$$,
        '^23514 .*constraint invitations_email_check$', 'no address'
    ),
    ($$select limena.create_invitation(null, 'viewer', sha256('x'))$$, '^23502 .*column email', 'no address at all'),
    (
        $$select limena.create_invitation('x@x.example', 'viewer', 'short')$$,
        '^23514 .*constraint invitations_token_hash_check$', 'what is no SHA-256'
    ),
    (
        $$select limena.create_invitation('x@x.example', 'viewer', null)$$, '^23502 .*column token_hash', 'no hash'
    )
) as w (statement, pattern, description);

-- The same address again, say because the first mail was lost; and into another tenant.
select lives_ok(
    $$select limena.create_invitation('new@x.example', 'viewer', sha256('again'))$$,
    'an address can be invited again'
);
select tests.enter_as('b', 'owner');
select lives_ok(
    $$select limena.create_invitation('new@x.example', 'viewer', sha256('b'))$$,
    'another tenant''s open invitation is not in the way'
);
select limena.enter_session(tests.session_hash('a', 'owner'), null);
select is(
    tests.error_of(pg_temp.inviting('viewer')),
    '42501 permission denied; detail invitations:write',
    'in no tenant nobody is invited'
);

select * from finish();
rollback;
