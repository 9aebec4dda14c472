-- What happens to a person is in the log of each of their tenants, and none of them learns of another. Fails without
-- scope 'user' in limena_private.record_changes(), and where the policy file of users, sessions or refresh_tokens
-- registers something else.
begin;
select plan(17);

select tests.make_tenants();
-- The owner of a is also in b; the loner is in no tenant.
insert into limena.memberships (tenant_id, user_id, role)
values (tests.tenant_id('b'), tests.user_id('a', 'owner'), 'viewer');
insert into limena.users (id, email, display_name, password_hash)
values (tests.id('user', 'loner'), 'loner@x.example', 'Loner', '$2b$04$' || repeat('.', 53));

create temporary table logged as select l.id from limena.audit_logs as l;
create function pg_temp.added()
returns text[]
language plpgsql
as $$
declare
    v_lines text[];
begin
    v_lines := array(
        select concat_ws(
            ' ',
            (select replace(t.name, 'Tenant ', '') from limena.tenants as t where t.id = l.tenant_id) || ':',
            l.action, nullif(l.changes, '{}')
        )
        from limena.audit_logs as l
        where l.id not in (select g.id from logged as g)
        order by l.tenant_id = tests.tenant_id('b'), l.tenant_id <> tests.tenant_id('a'), l.seq
    );
    insert into logged
    select l.id from limena.audit_logs as l where l.id not in (select g.id from logged as g);
    return v_lines;
end;
$$;

update limena.users set password_hash = '$2b$05$' || repeat('.', 53)
where id = tests.user_id('a', 'owner');
select is(
    pg_temp.added(),
    array[
        'a: user.updated {"password_hash": ["[redacted]", "[redacted]"]}',
        'b: user.updated {"password_hash": ["[redacted]", "[redacted]"]}'
    ],
    'the same password hashed anew is no changed password'
);
update limena.users set password_hash = '$2b$04$' || repeat('/', 53), password_changed_at = '2026-01-01T00:00:00Z'
where id = tests.user_id('a', 'owner');
select is(
    array(
        select regexp_replace(l, '"password_changed_at": \["[^"]*", ("[^"]*")\]', '"password_changed_at": [\1]')
        from unnest(pg_temp.added()) as l
    ),
    array[
        'a: user.password_changed {"password_hash": ["[redacted]", "[redacted]"], "password_changed_at": ["2026-01-01T00:00:00+00:00"]}',  -- noqa: LT05
        'b: user.password_changed {"password_hash": ["[redacted]", "[redacted]"], "password_changed_at": ["2026-01-01T00:00:00+00:00"]}'  -- noqa: LT05
    ],
    'a changed password: each tenant is told, and not what it is'
);
update limena.users set is_platform_admin = true
where id = tests.user_id('a', 'owner');
select is(
    pg_temp.added(),
    array[
        'a: user.platform_admin_changed {"is_platform_admin": [false, true]}',
        'b: user.platform_admin_changed {"is_platform_admin": [false, true]}'
    ],
    'someone becomes an admin of the platform'
);
update limena.users set is_platform_admin = false
where id = tests.user_id('a', 'owner');
select is(
    pg_temp.added(),
    array[
        'a: user.platform_admin_changed {"is_platform_admin": [true, false]}',
        'b: user.platform_admin_changed {"is_platform_admin": [true, false]}'
    ],
    'and no longer is'
);
update limena.users set display_name = 'New name'
where id = tests.user_id('a', 'owner');
select is(
    pg_temp.added(),
    array[
        'a: user.updated {"display_name": ["owner of a", "New name"]}',
        'b: user.updated {"display_name": ["owner of a", "New name"]}'
    ],
    'a new name'
);
update limena.users set display_name = 'New name'
where email like '%@b.example' or id = tests.id('user', 'loner');
select is(
    (select array_agg(distinct split_part(l, ' {', 1)) from unnest(pg_temp.added()) as l),
    '{"b: user.updated","platform: user.updated"}',
    'of many people each in their tenants, of the loner in the platform''s'
);

update limena.sessions set ended_at = '2026-01-01T00:00:00Z'
where user_id = tests.user_id('a', 'owner');
select is(
    pg_temp.added(),
    array[
        'a: session.ended {"ended_at": [null, "2026-01-01T00:00:00+00:00"]}',
        'b: session.ended {"ended_at": [null, "2026-01-01T00:00:00+00:00"]}'
    ],
    'an ended session'
);
update limena.sessions set current_tenant_id = tests.tenant_id('b')
where user_id = tests.user_id('a', 'owner');
select is(pg_temp.added(), '{}', 'a session that goes to another tenant: no tenant is told');
insert into limena.refresh_tokens (session_id, user_id, token_hash)
values (tests.id('session', 'a owner'), tests.user_id('a', 'owner'), sha256('marked token'));
select is(
    (select array_agg(left(l, 24) order by l) from unnest(pg_temp.added()) as l),
    '{"a: refresh_token.created","b: refresh_token.created"}',
    'a refresh token'
);
insert into limena.sessions (user_id, secret_hash) values (tests.id('user', 'loner'), sha256('marked secret'));
select is(
    (select array_agg(left(l, 25)) from unnest(pg_temp.added()) as l),
    '{"platform: session.created"}',
    'a loner''s session: the platform''s log'
);

-- A membership is the tenant's own affair.
update limena.memberships set role = 'member'
where tenant_id = tests.tenant_id('b') and user_id = tests.user_id('a', 'owner');
select is(
    pg_temp.added(),
    array['b: membership.role_changed {"role": ["viewer", "member"]}'],
    'a role changes in one tenant: that tenant is told'
);
insert into limena.memberships (tenant_id, user_id, role) values (
    tests.tenant_id('b'), tests.user_id('a', 'admin'), 'viewer'
);
select is(
    (select array_agg(left(l, 21)) from unnest(pg_temp.added()) as l),
    '{"b: membership.created"}',
    'someone joins one: the other is not told'
);
delete from limena.memberships
where tenant_id = tests.tenant_id('b') and user_id = tests.user_id('a', 'owner');
select is(
    (select array_agg(regexp_replace(l, ' \{.*', '')) from unnest(pg_temp.added()) as l),
    '{"b: membership.deleted"}', 'someone leaves it: the other is not told'
);

-- A person who is deleted takes the memberships along, and with them the tenants that would be told of the person.
delete from limena.users
where id = tests.user_id('b', 'viewer');
select is(
    (select array_agg(regexp_replace(l, ' \{.*', '') order by l collate "C") from unnest(pg_temp.added()) as l),
    '{"b: membership.deleted","platform: session.deleted","platform: user.deleted"}', 'a person is deleted'
);

-- All of it, searched for what must not be there.
select is_empty(
    $$select l.id
    from limena.audit_logs as l
    where l.tenant_id = tests.tenant_id('a')
        and (to_jsonb(l)::text like '%' || tests.tenant_id('b') || '%' or to_jsonb(l)::text like '%Tenant b%')$$,
    'nothing in a''s log names b'
);
select is_empty(
    $$select l.id
    from limena.audit_logs as l
    where l.tenant_id = tests.tenant_id('b')
        and (to_jsonb(l)::text like '%' || tests.tenant_id('a') || '%' or to_jsonb(l)::text like '%Tenant a%')$$,
    'nor anything in b''s a'
);
select is_empty(
    format(
        'select l.id from limena.audit_logs as l where l::text ~ %L or l::text like ''%%$2b$%%''',
        (
            select string_agg(encode(m.hash, 'hex'), '|')
            from (
                values (sha256('marked token')),
                (sha256('marked secret')),
                (tests.session_hash('a', 'owner')),
                (tests.session_hash('b', 'viewer'))
            ) as m (hash)
        )
    ),
    'and no hash is anywhere'
);

select * from finish();
rollback;
