-- What api/tests/test_definer_sweep.py stands on: tenants a and b, each with a row in every table and its own words,
-- numbers and times in every column, so that a value of b's can be told wherever it turns up; and a way to see, from
-- inside any transaction, which rows it has changed. Loaded by a superuser after helpers.sql, into a database of its
-- own.

-- A digest with a name: 32 bytes, or a text in the form of a bcrypt hash.
create function tests.digest(p_name text)
returns bytea
language sql
immutable
as $$ select pg_catalog.sha256(pg_catalog.convert_to(p_name, 'UTF8')) $$;

create function tests.bcrypt(p_name text)
returns text
language sql
immutable
as $$ select '$2b$04$' || left(encode(tests.digest(p_name), 'hex'), 53) $$;

-- One tenant's rows. Each carries the word `marker<tenant>`, wherever a column takes words.
create function tests.furnish(p_tenant text)
returns void
language plpgsql
as $$
declare
    v_tenant_id uuid := tests.tenant_id(p_tenant);
    v_owner_id uuid := tests.user_id(p_tenant, 'owner');
    v_session_id uuid := tests.id('session', p_tenant || ' owner');
    v_marker text := 'marker' || p_tenant;
    v_number integer := 1000000 * (ascii(p_tenant) - 90) + 12321;  -- too long for microseconds
    v_reserved uuid;
begin
    update limena.tenants set name = v_marker || ' Ltd', created_at = now() - interval '1 day' where id = v_tenant_id;
    update limena.users as u set display_name = v_marker || ' person', password_hash = tests.bcrypt(u.email)
    from limena.memberships as m
    where m.user_id = u.id and m.tenant_id = v_tenant_id and u.id <> tests.user_id('both', 'member');
    update limena.sessions as s set ip = '192.0.2.1'::inet + v_number, user_agent = v_marker || ' browser'
    where s.current_tenant_id = v_tenant_id and s.user_id <> tests.user_id('both', 'member');
    -- Entering writes nothing as long as the last use is no minute old.
    update limena.session_uses as u set last_seen_at = now() + interval '1 day'
    from limena.sessions as s where u.session_id = s.id and s.current_tenant_id = v_tenant_id;
    insert into limena.sessions (id, user_id, secret_hash, current_tenant_id)
    values (tests.id('session', p_tenant || ' other'), v_owner_id, tests.digest(p_tenant || ' other session'), v_tenant_id);
    insert into limena.refresh_tokens (session_id, user_id, token_hash)
    values (v_session_id, v_owner_id, tests.digest(p_tenant || ' refresh token'));
    insert into limena.password_resets (user_id, token_hash) values (v_owner_id, tests.digest(p_tenant || ' reset'));
    insert into limena.registrations (email, display_name, tenant_name, password_hash, token_hash, registrant_hash)
    values (
        'new.' || v_marker || '@x.example', v_marker || ' newcomer', v_marker || ' new', tests.bcrypt(v_marker),
        tests.digest(p_tenant || ' registration'), tests.digest(p_tenant || ' registrant')
    );

    perform tests.make_api_key(
        p_tenant, 'key', array(select p.name from limena.permissions as p where p.name <> 'tenant:own' order by p.name)
    );
    perform tests.make_api_key(p_tenant, 'retired', '{ai:use}');
    perform tests.make_api_key(p_tenant, 'rated', '{ai:use}');
    update limena.api_keys as k
    set name = v_marker || ' ' || k.name, prefix = 'lmn_pre00' || p_tenant, last_four = 'end' || p_tenant
    where k.tenant_id = v_tenant_id;
    update limena.api_keys set retires_at = now() + interval '1 day', replaced_by = tests.api_key_id(p_tenant)
    where tenant_id = v_tenant_id and id = tests.api_key_id(p_tenant, 'retired');
    update limena.api_keys set calls_per_minute = 50 where tenant_id = v_tenant_id and id = tests.api_key_id(p_tenant, 'rated');
    update limena.api_key_uses set last_used_at = now() + interval '1 day' where tenant_id = v_tenant_id;
    insert into limena.api_key_rates (tenant_id, api_key_id, second, calls)
    values (v_tenant_id, tests.api_key_id(p_tenant, 'rated'), v_number, array_fill(0, array[61]));

    insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
    values (
        v_tenant_id, tests.id('invitation', p_tenant), 'guest.' || v_marker || '@x.example', 'member',
        tests.digest(p_tenant || ' invitation'), v_owner_id
    );
    insert into limena.outbox (tenant_id, id, template, recipient, parameters, attempts)
    values (
        v_tenant_id, tests.id('mail', p_tenant), 'invitation', 'mail.' || v_marker || '@x.example',
        jsonb_build_object('tenant_name', v_marker || ' mailed'), 1
    );

    perform
        tests.make_integration(p_tenant, 'oidc', '{access_token, refresh_token}', now() + interval '1 minute'),
        tests.make_integration(p_tenant, 'anthropic'),
        tests.make_integration(p_tenant, 'google', '{}'),
        tests.make_integration(p_tenant, v_marker || '-llm');
    update limena.integrations as i
    set
        label = v_marker || ' ' || i.provider,
        base_url = 'https://' || v_marker || '.example',
        scopes = v_marker || ':read',
        refresh_leased_until = case i.provider when 'oidc' then now() + interval '1 hour' end,
        disconnected_at = case i.provider when 'google' then now() end
    where i.tenant_id = v_tenant_id;
    insert into limena.integration_flows (
        tenant_id, id, provider, session_id, user_id, state_hash, key_version, ciphertext
    )
    values (
        v_tenant_id, tests.id('flow', p_tenant), v_marker || '-flow', v_session_id, v_owner_id,
        tests.digest(p_tenant || ' state'), 1, tests.ciphertext(p_tenant || ' verifier')
    );

    insert into limena.ai_settings (tenant_id, calls_per_hour, tokens_per_month, max_tokens_per_month)
    values (v_tenant_id, 400, v_number * 9, v_number * 11);
    -- As the people of the tenant, so that the log has what a client says of itself.
    set local role limena_app;
    perform limena.enter_session(
        tests.session_hash(p_tenant, 'member'), v_tenant_id, v_marker || '-request', '198.51.100.1'::inet + v_number,
        v_marker || ' agent'
    );
    perform limena.record_denial('audit:read', 'GET /' || v_marker);
    v_reserved := limena.reserve_ai_call(v_marker || '-model', v_number, v_marker || '-retry') ->> 'id';
    perform limena.settle_ai_call(v_reserved, v_number, v_number + 1, v_number + 2);
    v_reserved := limena.reserve_ai_call(v_marker || '-model', v_number + 3, v_marker || '-live') ->> 'id';
    -- A colleague's, for the same call.
    perform limena.enter_session(tests.session_hash(p_tenant, 'admin'), v_tenant_id);
    perform limena.reserve_ai_call(v_marker || '-model', v_number + 3, v_marker || '-colleague');
    perform limena.enter_api_key(tests.key_hash(p_tenant), v_marker || '-call', '203.0.113.1', v_marker || ' program');
    perform limena.update_tenant(v_marker || ' Inc');
    reset role;
    update limena.ai_reservations set id = tests.id('reservation', p_tenant)
    where tenant_id = v_tenant_id and id = v_reserved;
    -- One that is overdue: whoever comes next closes it, and no other tenant's.
    insert into limena.ai_reservations (
        tenant_id, id, actor_type, actor_id, model, estimated_tokens, created_at, expires_at
    )
    values (
        v_tenant_id, tests.id('overdue reservation', p_tenant), 'user', tests.user_id(p_tenant, 'admin'),
        v_marker || '-overdue', v_number + 6, now(), now()
    );
    update limena.ai_quotas set reserved_tokens = reserved_tokens + v_number + 6, expires_at = now()
    where tenant_id = v_tenant_id;
    insert into limena.ai_quota_months (tenant_id, month, used_tokens, reserved_tokens)
    values (v_tenant_id, '2020-01-01', v_number + 4, v_number + 5);

    set local role limena_auth;
    perform limena.begin_log_in('owner@' || p_tenant || '.example', '198.51.100.2'::inet + v_number);
    reset role;
    perform set_config('app.current_tenant_id', '', true), set_config('app.context', '', true), set_config('app.seal', '', true);
end;
$$;

-- Somebody who belongs to both tenants and works in b: with a key and an invitation that a has no say in.
create function tests.make_person_of_both()
returns void
language plpgsql
as $$
begin
    insert into limena.users (id, email, display_name, password_hash)
    values (tests.user_id('both', 'member'), 'both@x.example', 'Bo Both', tests.bcrypt('both'));
    insert into limena.memberships (tenant_id, user_id, role)
    values
    (tests.tenant_id('b'), tests.user_id('both', 'member'), 'admin'),
    (tests.tenant_id('a'), tests.user_id('both', 'member'), 'member');
    insert into limena.sessions (id, user_id, secret_hash, current_tenant_id)
    values (
        tests.id('session', 'both'), tests.user_id('both', 'member'), tests.session_hash('both', 'member'),
        tests.tenant_id('b')
    );
    insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by)
    select
        t.id, tests.api_key_id('both', t.id::text), 'of both', 'lmn_both00', 'both', '{ai:use}', tests.digest(t.id::text),
        tests.user_id('both', 'member')
    from limena.tenants as t where t.id in (tests.tenant_id('a'), tests.tenant_id('b'));
    insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
    values (
        tests.tenant_id('b'), tests.id('invitation', 'both'), 'guest.of.both@x.example', 'viewer',
        tests.digest('both invitation'), tests.user_id('both', 'member')
    );
end;
$$;

-- Who administers the platform, and is in no tenant.
create function tests.make_administrator()
returns void
language sql
as $$
insert into limena.users (id, email, display_name, password_hash, is_platform_admin)
values (tests.user_id('platform', 'owner'), 'root@platform.example', 'Rosa Root', tests.bcrypt('root'), true);
insert into limena.sessions (id, user_id, secret_hash)
values (
    tests.id('session', 'platform owner'), tests.user_id('platform', 'owner'), tests.session_hash('platform', 'owner')
)
$$;

-- Every row of every table of ours as it is before anything is tried, and where it stands: whoever changes a row moves
-- it, and a change that is rolled back leaves it where it was.
create table tests.rows_before (relation oid, place tid, item jsonb);

-- Where rows stand now: one view over all tables, so that it is planned once a session.
do $do$
begin
    execute (
        select
            'create view tests.rows_standing as ' || string_agg(
                format('select t.tableoid as relation, t.ctid as place from %s as t', c.oid::regclass), ' union all '
            )
        from pg_catalog.pg_class as c
        where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
            and c.relkind = 'r'
            and c.relname !~ '^deployed_'
    );
end;
$do$;

-- [table, row]; a partition goes by its table's name.
create function tests.row_at(p_relation oid, p_place tid)
returns jsonb
language plpgsql
as $$
declare
    v_item jsonb;
begin
    execute format(
        'select jsonb_build_array(%L, to_jsonb(t)) from %s as t where t.ctid = $1',
        coalesce(pg_partition_root(p_relation), p_relation::regclass),
        p_relation::regclass
    ) into v_item using p_place;
    return v_item;
end;
$$;

-- What this transaction has changed since tests.rows_before was filled: [table, row] of each row that came or went,
-- NULL where nothing was written at all. Whoever asks may be any role: it runs as the superuser who loaded it.
create function tests.changes()
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_current_xact_id_if_assigned() is null then
        return null;
    end if;
    return (
        select coalesce(jsonb_agg(coalesce(b.item, tests.row_at(s.relation, s.place))), '[]')
        from tests.rows_standing as s
        full join tests.rows_before as b on s.relation = b.relation and s.place = b.place
        where s.place is null or b.place is null
    );
end;
$$;
