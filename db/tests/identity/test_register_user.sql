-- limena.register_user(): a person, their tenant, and what is recorded. Fails without the function.
begin;
select plan(28);

create temporary table logged as select l.id from limena.audit_logs as l;
create function pg_temp.added(p_tenant_id uuid)
returns setof jsonb
language sql
as $$
select
    jsonb_build_object(
        'action', l.action, 'actor_type', l.actor_type, 'actor_id', l.actor_id, 'actor_label', l.actor_label,
        'entity_type', l.entity_type, 'entity_id', l.entity_id, 'request_id', l.request_id, 'ip', host(l.ip),
        'user_agent', l.user_agent
    )
from limena.audit_logs as l
where l.tenant_id = p_tenant_id and l.id not in (select g.id from logged as g)
order by l.seq
$$;
create function pg_temp.who(p_answer jsonb)
returns jsonb
language sql
as $$
select jsonb_build_object(
    'actor_type', 'user', 'actor_id', p_answer #>> '{user, id}', 'actor_label', 'ada@example.com',
    'request_id', 'request 1', 'ip', '192.0.2.1', 'user_agent', 'agent 1'
)
$$;
create function pg_temp.hash(p_cost integer default 12)
returns text
language sql
as $$ select '$2b$' || p_cost || '$' || repeat('a', 53) $$;
create temporary table answers (name text, answer jsonb);
grant insert, select on answers to limena_auth;

-- With a tenant.
set local role limena_auth;
insert into answers
values (
    'with',
    limena.register_user(
        p_email => '  Ada@Example.COM ',
        p_password_hash => pg_temp.hash(),
        p_display_name => 'Ada',
        p_tenant_name => 'Engines',
        p_request_id => 'request 1', p_ip => '192.0.2.1', p_user_agent => 'agent 1'
    )
);
reset role;
select
    is(
        a.answer,
        jsonb_build_object(
            'user', jsonb_build_object('id', u.id, 'email', 'ada@example.com', 'display_name', 'Ada'),
            'tenant', jsonb_build_object('id', t.id, 'name', 'Engines', 'state', 'active')
        ),
        'the answer names the person and the tenant, and no hash'
    )
from answers as a
left join limena.users as u on u.email = 'ada@example.com'
left join limena.tenants as t on t.name = 'Engines'
where a.name = 'with';
select results_eq(
    $$select u.email, u.display_name, u.password_hash, u.is_platform_admin from limena.users as u
    where u.email like 'ada%'$$,
    $$values ('ada@example.com', 'Ada', pg_temp.hash(), false)$$,
    'the address is stored in lower case without spaces; nobody is born an admin of the platform'
);
select results_eq(
    $$select t.name, m.role::text
    from limena.memberships as m
    inner join limena.tenants as t on m.tenant_id = t.id
    inner join limena.users as u on m.user_id = u.id
    where u.email = 'ada@example.com'$$,
    $$values ('Engines', 'owner')$$,
    'the person owns the tenant and is in no other'
);
select
    results_eq(
        format('select pg_temp.added(%L)', a.answer #>> '{tenant, id}'),
        array[
            jsonb_build_object(
                'action', 'tenant.created', 'entity_type', 'tenant', 'entity_id', a.answer #>> '{tenant, id}'
            )
            || pg_temp.who(a.answer),
            jsonb_build_object(
                'action', 'membership.created', 'entity_type', 'membership', 'entity_id', a.answer #>> '{user, id}'
            )
            || pg_temp.who(a.answer)
        ],
        'the tenant''s log begins with itself and its owner, in the name of the person'
    )
from answers as a
where a.name = 'with';
select results_eq(
    $$select l.action, l.entity_id
    from limena.audit_logs as l
    where l.tenant_id = limena_private.platform_tenant_id() and l.id not in (select g.id from logged as g)$$,
    $$select 'user.created', a.answer #>> '{user, id}' from answers as a where a.name = 'with'$$,
    'a person, who was in no tenant yet, is in the platform''s log'
);

-- Without a tenant.
set local role limena_auth;
insert into answers values ('without', limena.register_user('bea@example.com', pg_temp.hash(), 'Bea'));
reset role;
select
    is(
        a.answer -> 'tenant',
        'null'::jsonb,
        'without a name for it there is no tenant'
    )
from answers as a
where a.name = 'without';
select is_empty(
    $$select m.tenant_id
    from limena.memberships as m
    inner join limena.users as u on m.user_id = u.id
    where u.email = 'bea@example.com'$$,
    'and no membership'
);

-- The context that it sealed tells who acted; it opens nothing.
set local role limena_auth;
select limena.register_user('cyn@example.com', pg_temp.hash(), 'Cyn', 'Looms');
set local role limena_app;
select is(limena.current_tenant_id(), null, 'no tenant is entered by registering');
select is(limena.current_permissions(), '{}', 'and no permission held');
select is(limena.current_context() ->> 'actor_label', 'cyn@example.com', 'though it is known who acts');

-- What it refuses; the names of constraints are what the API tells fields by.
set local role limena_auth;
select matches(tests.error_of(w.statement), w.pattern, w.description)
from (
    values
    (
        $$select limena.register_user('ADA@example.com', pg_temp.hash(), 'Ada')$$,
        '^23505 .*constraint users_email_key$',
        'a known address, however it is written'
    ),
    (
        $$select limena.register_user('no address', pg_temp.hash(), 'x')$$,
        '^23514 .*constraint users_email_check$',
        'no address'
    ),
    (
        $$select limena.register_user('a@b@c', pg_temp.hash(), 'x')$$,
        '^23514 .*constraint users_email_check$',
        'two addresses'
    ),
    (
        $$select limena.register_user(E'a@b\nc', pg_temp.hash(), 'x')$$,
        '^23514 .*constraint users_email_check$',
        'a line break in one'
    ),
    (
        $$select limena.register_user(repeat('a', 250) || '@b.example', pg_temp.hash(), 'x')$$,
        '^23514 .*constraint users_email_check$', 'an address that is too long'
    ),
    ($$select limena.register_user(null, pg_temp.hash(), 'x')$$, '^23502 .*column email', 'no address at all'),
    ($$select limena.register_user('x@x.example', null, 'x')$$, '^23502 .*column password_hash', 'no password'),
    ($$select limena.register_user('x@x.example', pg_temp.hash(), null)$$, '^23502 .*column display_name', 'no name'),
    (
        $$select limena.register_user('x@x.example', 'correct horse battery staple', 'x')$$,
        '^23514 .*constraint users_password_hash_check$', 'a password instead of its hash'
    ),
    (
        $$select limena.register_user('x@x.example', replace(pg_temp.hash(), '2b', '2a'), 'x')$$,
        '^23514 .*constraint users_password_hash_check$', 'another kind of hash'
    ),
    (
        $$select limena.register_user('x@x.example', pg_temp.hash(), '')$$,
        '^23514 .*constraint users_display_name_check$',
        'an empty name'
    ),
    (
        $$select limena.register_user('x@x.example', pg_temp.hash(), ' x')$$,
        '^23514 .*constraint users_display_name_check$',
        'a space before it'
    ),
    (
        $$select limena.register_user('x@x.example', pg_temp.hash(), repeat('x', 101))$$,
        '^23514 .*constraint users_display_name_check$', 'a name that is too long'
    ),
    (
        $$select limena.register_user('x@x.example', pg_temp.hash(), 'x', '')$$,
        '^23514 .*constraint tenants_name_check$',
        'an empty name for the tenant'
    ),
    (
        $$select limena.register_user('x@x.example', pg_temp.hash(), 'x', repeat('x', 101))$$,
        '^23514 .*constraint tenants_name_check$', 'one that is too long'
    ),
    (
        $$select limena.register_user('x@x.example', pg_temp.hash(), 'x', E'x\u0007')$$,
        '^23514 .*constraint tenants_name_check$', 'one with a bell in it'
    )
) as w (statement, pattern, description);
reset role;
select is_empty(
    $$select u.id from limena.users as u where u.email like '%x.example'$$,
    'nothing is left of what was refused'
);
select doesnt_match(
    tests.error_of($$select limena.register_user('x@x.example', 'marked password', 'x')$$), '^.*marked password.*$',
    'no error shows a value: with row-level security PostgreSQL leaves out the failing row'
);

select * from finish();
rollback;
