-- limena.accept_invitation(): who joins, as whom, and only once. Fails without the function.
begin;
select plan(30);

select tests.make_tenants();
create function pg_temp.invite(p_token text, p_email text, p_role text default 'member', p_tenant text default 'a')
returns void
language sql
as $$
insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
values (
    tests.tenant_id(
        p_tenant), tests.id('invitation', p_token), p_email, p_role::limena.member_role, sha256(p_token::bytea
    ),
    tests.user_id(p_tenant, 'owner')
)
$$;
select pg_temp.invite('new', 'new@x.example', 'admin');
select pg_temp.invite('known', 'viewer@b.example');
select pg_temp.invite('member', 'member@a.example', 'owner');
select pg_temp.invite('expired', 'expired@x.example');
select pg_temp.invite('deleted', 'deleted@x.example', 'owner', 'b');
select pg_temp.invite('open', 'open@x.example');
update limena.invitations set expires_at = now() - interval '1 second'
where email = 'expired@x.example';
create temporary table logged as select l.id from limena.audit_logs as l;
create temporary table answers (name text, answer jsonb);
grant insert on answers to limena_auth;
create function pg_temp.added()
returns setof text
language sql
as $$
select concat_ws(
    ' ',
    case l.tenant_id when tests.tenant_id('a') then 'a:' when tests.tenant_id('b') then 'b:' else 'platform:' end,
    l.action,
    'by', l.actor_label, l.request_id
)
from limena.audit_logs as l
where l.id not in (select g.id from logged as g)
order by l.seq
$$;

-- A new person.
set local role limena_auth;
insert into answers
values (
    'new',
    limena.accept_invitation(
        p_token_hash => sha256('new'), p_password_hash => '$2b$12$' || repeat('a', 53), p_display_name => 'New',
        p_request_id => 'request 1', p_ip => '192.0.2.1', p_user_agent => 'agent 1'
    )
);
reset role;
select
    is(
        a.answer,
        jsonb_build_object(
            'user', jsonb_build_object('id', u.id, 'email', 'new@x.example', 'display_name', 'New'),
            'tenant', jsonb_build_object('id', tests.tenant_id('a'), 'name', 'Tenant a', 'state', 'active')
        ),
        'a new person is made, and told who and where they are'
    )
from answers as a
left join limena.users as u on u.email = 'new@x.example'
where a.name = 'new';
select results_eq(
    $$select u.display_name, u.password_hash, u.is_platform_admin, m.tenant_id, m.role::text
    from limena.users as u
    inner join limena.memberships as m on u.id = m.user_id
    where u.email = 'new@x.example'$$,
    $$values ('New', '$2b$12$' || repeat('a', 53), false, tests.tenant_id('a'), 'admin')$$,
    'with the password and the role, in that tenant alone'
);
select isnt(
    (
        select i.accepted_at from limena.invitations as i
        where i.id = tests.id('invitation', 'new')
    ),
    null,
    'the invitation is spent'
);
select results_eq(
    'select pg_temp.added()',
    array[
        'platform: user.created by new@x.example request 1', 'a: membership.created by new@x.example request 1',
        'a: invitation.accepted by new@x.example request 1'
    ],
    'and all of it is in the log, in the name of the new person'
);
set local role limena_auth;
select is(
    tests.error_of($$select limena.accept_invitation(sha256('new'), '$2b$12$' || repeat('b', 53), 'Thief')$$),
    'P0002 there is no such invitation', 'it cannot be used twice'
);

-- Someone who has an account: it stays as it was.
reset role;
delete from logged;
insert into logged select l.id from limena.audit_logs as l;
create temporary table before_joining as
select to_jsonb(u) as person
from limena.users as u
where u.id = tests.user_id('b', 'viewer');
set local role limena_auth;
insert into answers
values (
    'known',
    limena.accept_invitation(
        p_token_hash => sha256('known'), p_password_hash => '$2b$12$' || repeat('b', 53),
        p_display_name => 'Other name',
        p_secret_hash => tests.session_hash('b', 'viewer')
    )
);
reset role;
select
    is(
        a.answer,
        jsonb_build_object(
            'user',
            jsonb_build_object(
                'id', tests.user_id('b', 'viewer'), 'email', 'viewer@b.example', 'display_name', 'viewer of b'
            ),
            'tenant', jsonb_build_object('id', tests.tenant_id('a'), 'name', 'Tenant a', 'state', 'active')
        ),
        'a known person joins'
    )
from answers as a
where a.name = 'known';
select is(to_jsonb(u), b.person, 'neither their password nor their name is touched')
from limena.users as u
cross join before_joining as b
where u.id = tests.user_id('b', 'viewer');
select results_eq(
    $$select m.tenant_id, m.role::text from limena.memberships as m
    where m.user_id = tests.user_id('b', 'viewer') order by m.role$$,
    $$values (tests.tenant_id('b'), 'viewer'), (tests.tenant_id('a'), 'member')$$,
    'they are what they were in their tenant, and what was offered in this one'
);
select results_eq(
    'select pg_temp.added()',
    array['a: membership.created by viewer@b.example', 'a: invitation.accepted by viewer@b.example'],
    'their other tenant''s log does not tell of it'
);
set local role limena_app;
select ok(
    limena.enter_session(tests.session_hash('b', 'viewer'), tests.tenant_id('a')),
    'their session enters the new tenant at once'
);

-- A member: what they are is not changed by an invitation.
set local role limena_auth;
select matches(
    tests.error_of($$select limena.accept_invitation(
            p_token_hash => sha256('member'), p_verified_hash => '$2b$04$' || repeat('.', 53)
        )$$),
    '^23505 .*constraint memberships_pkey$',
    'a member does not join again'
);
reset role;
select results_eq(
    $$select m.role::text from limena.memberships as m
    where m.user_id = tests.user_id('a', 'member')$$, array['member'],
    'and is not raised by it'
);

-- An invitation counts as long as its maker could make it: nobody comes back, or leaves a way in, through one made
-- before.
reset role;
create function pg_temp.accepting_after(p_statement text)
returns text
language plpgsql
as $$
declare
    v_answer text;
begin
    begin
        execute p_statement;
        set local role limena_auth;
        v_answer := coalesce(
            tests.error_of($s$select limena.accept_invitation(sha256('open'), '$2b$12$' || repeat('b', 53), 'x')$s$),
            'joins'
        );
        raise exception '%', v_answer using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;
select is(pg_temp.accepting_after(w.statement), w.answer, w.description)
from (
    values
    ('select 1', 'joins', 'nothing happened: joins'),
    (
        $$delete from limena.memberships
        where user_id = tests.user_id('a', 'owner')$$, 'P0002 there is no such invitation',
        'not when the maker is no longer a member'
    ),
    (
        $$update limena.memberships set role = 'member' where user_id = tests.user_id('a', 'owner')$$,
        'P0002 there is no such invitation', 'nor when they may no longer invite'
    ),
    (
        $$update limena.memberships set role = 'admin' where user_id = tests.user_id('a', 'owner')$$, 'joins',
        'a lower role that may still give what was offered is enough'
    ),
    (
        $$update limena.memberships set role = 'admin' where user_id = tests.user_id('a', 'owner');
        update limena.invitations set role = 'owner' where email = 'open@x.example'$$,
        'P0002 there is no such invitation', 'one that may not is none'
    ),
    (
        $$delete from limena.memberships where user_id = tests.user_id('a', 'owner');
        insert into limena.memberships (tenant_id, user_id, role)
        values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'owner')$$,
        'P0002 there is no such invitation', 'nor is what they are in another tenant'
    )
) as w (statement, answer, description);

-- What it refuses. One answer for unknown, spent, expired and deleted.
update limena.tenants set state = 'deleted'
where id = tests.tenant_id('b');
set local role limena_auth;
select
    is(
        tests.error_of(format('select limena.accept_invitation(%L, %L, ''x'')', w.hash, '$2b$12$' || repeat('b', 53))),
        w.error,
        w.description
    )
from (
    values
    (sha256('unknown'), 'P0002 there is no such invitation', 'an unknown token'),
    (null, 'P0002 there is no such invitation', 'no token'),
    ('open'::bytea, 'P0002 there is no such invitation', 'the token itself instead of its hash'),
    (sha256('expired'), 'P0002 there is no such invitation', 'an expired one'),
    (sha256('deleted'), 'P0002 there is no such invitation', 'one of a tenant that was deleted')
) as w (hash, error, description);
select matches(tests.error_of(w.statement), w.pattern, w.description)
from (
    values
    (
        $$select limena.accept_invitation(sha256('open'))$$,
        '^22023 is needed to make an account; column password$',
        'a new person without a password'
    ),
    (
        $$select limena.accept_invitation(sha256('open'), '$2b$12$' || repeat('b', 53))$$,
        '^22023 is needed to make an account; column display_name$', 'one without a name'
    ),
    (
        $$select limena.accept_invitation(sha256('open'), 'marked password', 'x')$$,
        '^23514 .*constraint users_password_hash_check$', 'a password instead of its hash'
    ),
    (
        $$select limena.accept_invitation(sha256('open'), '$2b$12$' || repeat('b', 53), '')$$,
        '^23514 .*constraint users_display_name_check$', 'an empty name'
    )
) as w (statement, pattern, description);
select lives_ok(
    $$select limena.accept_invitation(sha256('open'), '$2b$12$' || repeat('b', 53), 'Open')$$,
    'a refusal does not spend an invitation'
);

-- The context that it sealed tells who acted; it opens nothing.
set local role limena_app;
select is(limena.current_tenant_id(), null, 'no tenant is entered by joining it');
select is(limena.current_permissions(), '{}', 'and no permission held');

select * from finish();
rollback;
