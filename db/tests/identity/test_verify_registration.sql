-- limena.request_registration() and limena.verify_registration(): nothing but a mail happens before the link in it is
-- followed. Fails without the functions, and where a stranger learns whose address is known.
begin;
select plan(42);

select tests.make_tenants();
create temporary table logged as select l.id from limena.audit_logs as l;
create function pg_temp.added()
returns text[]
language plpgsql
security definer
as $$
declare
    v_lines text[];
begin
    v_lines := array(
        select a.line
        from (
            select concat_ws(
                ' ', replace((select t.name from limena.tenants as t where t.id = l.tenant_id), 'Tenant ', '') || ':', l.action, 'by',
                l.actor_label, l.request_id, host(l.ip), l.user_agent
            ) as line
            from limena.audit_logs as l
            where l.id not in (select g.id from logged as g)
        ) as a
        order by a.line collate "C"
    );
    insert into logged
    select l.id from limena.audit_logs as l where l.id not in (select g.id from logged as g);
    return v_lines;
end;
$$;
create function pg_temp.hash(p_name text)
returns text
language sql
as $$ select '$2b$04$' || rpad(p_name, 53, '.') $$;
create function pg_temp.requesting(
    p_email text,
    p_name text,
    p_display_name text default 'New',
    p_tenant_name text default 'New tenant',
    p_hash text default pg_temp.hash('new')
)
returns text
language sql
as $$
select tests.error_of(
    format(
        'select limena.request_registration(%L, %L, %L, %L, %L, %L, %L, p_request_id => %L, p_ip => %L, p_user_agent => %L)',
        p_email, p_hash, p_display_name, p_tenant_name, tests.id('mail', p_name), sha256(p_name::bytea), sha256(('browser ' || p_name)::bytea), 'request 1',
        '192.0.2.1', 'agent 1'
    )
)
$$;
create function pg_temp.verifying(p_name text)
returns text
language sql
as $$
select tests.error_of(
    format('select limena.verify_registration(sha256(%L), sha256(%L))', p_name, 'browser ' || p_name)
)
$$;

-- Requested: known and unknown alike.
set local role limena_auth;
select
    limena.request_registration(
        w.email,
        pg_temp.hash('new'),
        'New',
        'New tenant',
        tests.id('mail', w.name),
        sha256(w.name::bytea),
        p_registrant_hash => sha256(('browser ' || w.name)::bytea),
        p_request_id => 'request 1',
        p_ip => '192.0.2.1', p_user_agent => 'agent 1'
    )
from (values (' NEW@x.example', 'unknown'), ('Owner@a.example ', 'known')) as w (email, name);
reset role;
select results_eq(
    $$select to_jsonb(r) - '{id, created_at, expires_at}'::text[], r.expires_at - r.created_at
    from limena.registrations as r
    order by r.email$$,
    $$select
        jsonb_build_object(
            'email', w.email, 'display_name', 'New', 'tenant_name', 'New tenant', 'password_hash', pg_temp.hash('new'),
            'token_hash', sha256(w.name::bytea), 'registrant_hash', sha256(('browser ' || w.name)::bytea), 'used_at', null
        ),
        w.time
    from (values ('new@x.example', 'unknown', interval '1 day'), ('owner@a.example', 'known', interval '0')) as w (email, name, time)$$,
    'a registration for one day; that of a known address is over at once'
);
select results_eq(
    $$select to_jsonb(o) - '{created_at, due_at, expires_at}'::text[], o.expires_at - o.created_at
    from limena.outbox as o order by o.recipient$$,
    $$select jsonb_build_object(
        'tenant_id', '00000000-0000-4000-8000-000000000000', 'id', tests.id('mail', w.name), 'template', w.template, 'recipient', w.email,
        'parameters', jsonb_build_object('display_name', 'New', 'tenant_name', 'New tenant'), 'attempts', 0, 'delivered_at', null,
        'abandoned_at', null
    ), interval '1 day'
    from (
        values ('new@x.example', 'unknown', 'registration'), ('owner@a.example', 'known', 'registration_known')
    ) as w (email, name, template)$$,
    'a mail to each, without the token: a known address is told that someone tried'
);
select is(
    pg_temp.added(),
    array[
        'platform: mail.created by unauthenticated request 1 192.0.2.1 agent 1',
        'platform: mail.created by unauthenticated request 1 192.0.2.1 agent 1',
        'platform: registration.created by unauthenticated request 1 192.0.2.1 agent 1',
        'platform: registration.created by unauthenticated request 1 192.0.2.1 agent 1'
    ],
    'it is in the platform''s log, and in no tenant''s'
);
select is_empty(
    $$select l.id from limena.audit_logs as l
    where position('$2b$' in l::text) > 0 or position(encode(sha256('unknown'), 'hex') in l::text) > 0$$,
    'without the hashes'
);
select is(tests.outcome('select from limena.users where email = ''new@x.example'''), '0', 'there is no new person');
select is(tests.outcome('select from limena.tenants where name = ''New tenant'''), '0', 'and no tenant');

-- Bad values: the same for known and unknown.
set local role limena_auth;
select
    alike(
        pg_temp.requesting(a.email, 'bad', w.display_name, w.tenant_name, w.hash),
        '23514 %' || w.constraint_name || '%',
        a.kind || ': ' || w.constraint_name
    )
from (values ('bad@x.example', 'unknown'), ('owner@a.example', 'known')) as a (email, kind)
cross join (
    values
    ('', 'New tenant', pg_temp.hash('new'), 'registrations_display_name_check'),
    ('New', ' x', pg_temp.hash('new'), 'registrations_tenant_name_check'),
    ('New', 'New tenant', 'a plain password', 'registrations_password_hash_check')
) as w (display_name, tenant_name, hash, constraint_name);
select alike(pg_temp.requesting(w.email, 'bad'), w.pattern, 'address ' || w.description)
from (
    values
    ('x', '23514 %registrations_email_check%', 'without a domain'),
    (E'x@x.example\nBcc: y@y.example', '23514 %registrations_email_check%', 'of two lines'),
    (repeat('x', 255) || '@x.example', '23514 %registrations_email_check%', 'that is too long'),
    (null, '23502 %column email%', 'that is none')
) as w (email, pattern, description);
select
    alike(
        pg_temp.requesting('bad@x.example', 'unknown'),
        '23505 %registrations_token_hash_key%',
        'no token is given out twice'
    );

-- What is refused.
select is(pg_temp.verifying('x'), 'P0002 there is no such registration', 'an unknown token');
select is(
    tests.error_of('select limena.verify_registration(null)'), 'P0002 there is no such registration', 'none'
);
select is(
    pg_temp.verifying('known'),
    'P0002 there is no such registration',
    'the token of a known address, which was never sent'
);
reset role;
update limena.registrations set expires_at = clock_timestamp()
where token_hash = sha256('unknown');
set local role limena_auth;
select is(pg_temp.verifying('unknown'), 'P0002 there is no such registration', 'a token after its day');
reset role;
update limena.registrations set expires_at = now() + interval '1 day'
where token_hash = sha256('unknown');
select pg_temp.added() is null;

-- The link alone, without the browser that registered: whoever registered may be a stranger.
select
    is(
        tests.error_of(format('select limena.verify_registration(sha256(''unknown''), %s)', w.registrant)),
        '22023 is needed: the link was opened in another browser than the one that registered; column password',
        w.description || ' does not open an account with the password of whoever registered'
    )
from (
    values
    ('null', 'no secret'), ('sha256(''browser rival'')', 'another''s secret'), ('''''', 'an empty one'),
    ('null, null', 'no secret and no password')
) as w (registrant, description);
select results_eq(
    $$select f.email, f.display_name, f.tenant_names from limena.find_registration(sha256('unknown')) as f$$,
    $$values ('new@x.example', 'New', array['New tenant'])$$,
    'the words that a new password must not be made of'
);
select is_empty(
    $$select from limena.find_registration(sha256('known')) union all select from limena.find_registration(null)$$,
    'are told for a good token alone'
);
do $block$
begin
    create temporary table chosen as
    select limena.verify_registration(sha256('unknown'), null, pg_temp.hash('chosen')) as answer;
    raise exception 'rolled back' using errcode = 'TS001', detail = (
        select c.answer ->> 'password_hash' || ' ' || (c.answer #>> '{user, email}') from chosen as c
    );
exception
    when sqlstate 'TS001' then
        declare
            v_detail text;
        begin
            get stacked diagnostics v_detail = pg_exception_detail;
            perform set_config('tests.chosen', v_detail, true);
        end;
end;
$block$;
select is(
    current_setting('tests.chosen'), pg_temp.hash('chosen') || ' new@x.example',
    'a password that is chosen with the link is the account''s; that of whoever registered is forgotten'
);

-- Verified.
create temporary table answers (answer jsonb);
grant select, insert on answers to public;
set local role limena_auth;
select
    is(
        pg_temp.requesting('NEW@x.example', 'rival', 'Rival', 'Rival tenant', pg_temp.hash('rival')),
        null,
        'someone else wants the address'
    );
select limena.request_registration(
    'new@x.example', pg_temp.hash('rival'), 'Rival', 'Rival tenant', tests.id('mail', 'rival'), sha256('rival'),
    sha256('browser rival')
);
reset role;
select pg_temp.added() is null;
set local role limena_auth;
insert into answers values (
    limena.verify_registration(
        sha256('unknown'),
        sha256('browser unknown'),
        p_request_id => 'request 2',
        p_ip => '192.0.2.2',
        p_user_agent => 'agent 2'
    )
);
reset role;
select results_eq(
    'select a.answer from answers as a',
    $$select jsonb_build_object(
        'user', jsonb_build_object('id', u.id, 'email', 'new@x.example', 'display_name', 'New'),
        'tenant', jsonb_build_object('id', t.id, 'name', 'New tenant', 'state', 'active'),
        'password_hash', pg_temp.hash('new')
    )
    from limena.users as u
    inner join limena.memberships as m on u.id = m.user_id and m.role = 'owner'
    inner join limena.tenants as t on m.tenant_id = t.id
    where u.email = 'new@x.example' and u.password_hash = pg_temp.hash('new')$$,
    'a person, the owner of a new tenant'
);
select is(
    (
        select r.used_at between now() and clock_timestamp() and r.password_hash is null from limena.registrations as r
        where r.token_hash = sha256('unknown')
    ),
    true,
    'the token is used'
);
select
    ok(
        'platform: registration.verified by new@x.example request 2 192.0.2.2 agent 2' = any(a.added)
        and array_length(array(
            select l from unnest(a.added) as l
            where l ~ '(user|tenant|membership).created by new@x.example'
        ), 1)
        = 3,
        'the log says who did it: they themselves'
    )
from (select pg_temp.added() as added) as a;
set local role limena_auth;
select is(pg_temp.verifying('unknown'), 'P0002 there is no such registration', 'a token is good once');
select alike(pg_temp.verifying('rival'), '23505 %users_email_key%', 'the other who wanted the address comes too late');
reset role;
select is(
    (
        select r.used_at from limena.registrations as r
        where r.token_hash = sha256('rival')
    ),
    null,
    'which uses nothing up'
);
select is(tests.outcome('select from limena.tenants where name = ''Rival tenant'''), '0', 'and makes nothing');
set local role limena_auth;
select is(
    tests.outcome(
        $$select limena.log_in((a.answer #>> '{user, id}')::uuid, a.answer ->> 'password_hash', sha256('x'), sha256('y')) from answers as a$$  -- noqa: LT05
    ), '1', 'the answer logs in'
);
set local role limena_app;
select is(limena.current_tenant_id(), null, 'no tenant is entered by it');

-- Who may call them.
select is(tests.outcome(s.statement), '42501', 'not for limena_app: ' || s.statement)
from (
    values
    ('select limena.request_registration(null, null, null, null, null, null)'),
    ('select limena.verify_registration(null)')
) as s (statement);
set local role limena_maintenance;
select is(tests.outcome(s.statement), '42501', 'nor for limena_maintenance: ' || s.statement)
from (
    values
    ('select limena.request_registration(null, null, null, null, null, null)'),
    ('select limena.verify_registration(null)')
) as s (statement);

select * from finish();
rollback;
