-- limena.log_out(), limena.log_out_all() and limena.end_session(): whose sessions end. Fails without the functions, and
-- where one ends a session of somebody else.
begin;
select plan(29);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
-- The owner of a is also in b, with a second session there; a third has ended.
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer');
insert into limena.sessions (id, user_id, secret_hash, current_tenant_id, ended_at)
values
(tests.id('session', 'second'), tests.user_id('a', 'owner'), sha256('second'), tests.tenant_id('b'), null),
(
    tests.id('session', 'ended'),
    tests.user_id('a', 'owner'),
    sha256('ended'),
    tests.tenant_id('a'),
    '2026-01-01T00:00:00Z'
);
create temporary table logged as select l.id from limena.audit_logs as l;
create function pg_temp.added()
returns text[]
language sql
security definer
as $$
select array_agg(t.line order by t.line collate "C")
from (
    select concat_ws(
        ' ', right((select t.name from limena.tenants as t where t.id = l.tenant_id), 1) || ':', l.action, 'by', l.actor_label, l.request_id,
        l.entity_id = tests.id('session', 'a owner')::text
    ) as line
    from limena.audit_logs as l
    where l.id not in (select g.id from logged as g)
) as t
$$;
create function pg_temp.live()
returns text
language sql
security definer
as $$
select string_agg(u.email || ' ' || s.number, ', ' order by u.email collate "C")
from (
    select s.user_id, count(*) as number from limena.sessions as s
    where s.ended_at is null
    group by s.user_id
) as s
inner join limena.users as u on s.user_id = u.id
$$;
-- What is left after a statement, which leaves nothing behind.
create function pg_temp.live_after(p_statement text)
returns text
language plpgsql
as $$
begin
    execute p_statement;
    raise exception '%', pg_temp.live() using errcode = 'TS000';
exception
    when sqlstate 'TS000' then return sqlerrm;
end;
$$;

set local role limena_app;
select is(
    pg_temp.live(),
    'admin@a.example 1, admin@b.example 1, member@a.example 1, member@b.example 1, owner@a.example 2, owner@b.example 1, '  -- noqa: LT05
    'viewer@a.example 1, viewer@b.example 1',
    'who is there'
);

-- This session.
select limena.enter_session(tests.session_hash('a', 'owner'), tests.tenant_id('a'), 'request 1');
select is(
    pg_temp.live_after('select limena.log_out()'),
    'admin@a.example 1, admin@b.example 1, member@a.example 1, member@b.example 1, owner@a.example 1, owner@b.example 1, '  -- noqa: LT05
    'viewer@a.example 1, viewer@b.example 1',
    'log_out() ends one'
);
select is(
    pg_temp.live_after('select limena.log_out_all()'),
    'admin@a.example 1, admin@b.example 1, member@a.example 1, member@b.example 1, owner@b.example 1, viewer@a.example 1, '  -- noqa: LT05
    'viewer@b.example 1',
    'log_out_all() those of the person, in whatever tenant'
);
select is(
    pg_temp.live_after('select limena.end_session(tests.id(''session'', ''second''))'),
    'admin@a.example 1, admin@b.example 1, member@a.example 1, member@b.example 1, owner@a.example 1, owner@b.example 1, '  -- noqa: LT05
    'viewer@a.example 1, viewer@b.example 1',
    'end_session() one of theirs'
);

-- end_session(): somebody else's and none are the same.
select is(tests.error_of(format('select limena.end_session(%L)', w.id)), w.error, w.description)
from (
    values
    (tests.id('session', 'second'), null, 'one''s own'),
    (tests.id('session', 'a owner'), null, 'the very one that calls'),
    (tests.id('session', 'ended'), null, 'one that has ended: twice is no error'),
    (tests.id('session', 'a member'), 'P0002 no such session', 'that of a member of one''s own tenant'),
    (tests.id('session', 'b owner'), 'P0002 no such session', 'that of someone in another tenant'),
    (tests.id('session', 'none'), 'P0002 no such session', 'one that does not exist'),
    (null, 'P0002 no such session', 'none')
) as w (id, error, description);
select limena.end_session(tests.id('session', 'ended'));
reset role;
select
    is(
        s.ended_at, '2026-01-01T00:00:00Z'::timestamptz, 'when a session ended is not written again'
    )
from limena.sessions as s
where s.id = tests.id('session', 'ended');

-- In the log.
set local role limena_app;
select limena.log_out();
select is(
    pg_temp.added(),
    array['a: session.ended by owner@a.example request 1 t', 'b: session.ended by owner@a.example request 1 t'],
    'the log of each of the person''s tenants says which and by whom'
);
reset role;
select is(
    tests.outcome('select from limena.sessions where ended_at between now() and clock_timestamp()'), '1', 'it ended now'
);
set local role limena_app;
select is(
    tests.outcome('select tests.enter_as(''a'', ''owner'')'), '28000', 'it is refused from the next request on'
);
select ok(limena.enter_session(sha256('second'), tests.tenant_id('b')), 'the other one goes on');
select is(
    tests.outcome('select limena.end_session(tests.id(''session'', ''a owner''))'), '1', 'and may end the first again'
);
select limena.log_out_all();
select
    is(
        tests.outcome('select limena.enter_session(sha256(''second''), tests.tenant_id(''b''))'),
        '28000',
        'until it ends itself'
    );
select is(
    array_length(pg_temp.added(), 1), 4, 'the log is told once of each'
);

-- Without a tenant, and as whatever role.
select is(
    tests.outcomes('select limena.log_out()', '{nobody, viewer, member, admin, key}'),
    'nobody 42501, viewer 1, member 1, admin 1, key 42501', 'everyone with a session logs out; a key has none'
);
select is(
    tests.outcomes('select limena.log_out_all()', '{nobody, viewer, member, admin, key}'),
    'nobody 42501, viewer 1, member 1, admin 1, key 42501',
    'everywhere, too; a key does not end its creator''s sessions'
);
select is(
    tests.outcomes(
        'select limena.end_session(tests.id(''session'', ''b owner''))', '{nobody, viewer, member, admin, key}'
    ),
    'nobody 42501, viewer P0002, member P0002, admin P0002, key 42501', 'and each one of their own'
);
select tests.leave();
select limena.enter_session(tests.session_hash('b', 'owner'), null);
select is(tests.outcome('select limena.log_out()'), '1', 'no tenant is needed');

-- Who may call them.
set local role limena_auth;
select is(tests.outcome(s.statement), '42501', 'not for limena_auth: ' || s.statement)
from
    (values ('select limena.log_out()'), ('select limena.log_out_all()'), ('select limena.end_session(null)'))
        as s (statement);
set local role limena_readonly;
select is(tests.outcome(s.statement), '42501', 'nor for limena_readonly: ' || s.statement)
from
    (values ('select limena.log_out()'), ('select limena.log_out_all()'), ('select limena.end_session(null)'))
        as s (statement);

select * from finish();
rollback;
