-- For pgTAP alone: two tenants, `a` and `b`, each with an owner, an admin, a member and a viewer, and ways to become
-- one of them. Loaded by a superuser into a schema of its own, which no deployment has. Ids follow from names, so that
-- a test can say them before they exist.

drop schema if exists tests cascade;
create schema tests;
grant usage on schema tests to public;

create function tests.id(p_kind text, p_name text)
returns uuid
language sql
immutable
as $$ select md5('limena tests: ' || p_kind || ' ' || p_name)::uuid $$;

create function tests.tenant_id(p_tenant text)
returns uuid
language sql
immutable
as $$ select tests.id('tenant', p_tenant) $$;

create function tests.user_id(p_tenant text, p_role text)
returns uuid
language sql
immutable
as $$ select tests.id('user', p_tenant || ' ' || p_role) $$;

create function tests.api_key_id(p_tenant text, p_name text default 'key')
returns uuid
language sql
immutable
as $$ select tests.id('api key', p_tenant || ' ' || p_name) $$;

-- What a client would show: the secrets behind the hashes below.
create function tests.session_hash(p_tenant text, p_role text)
returns bytea
language sql
immutable
as $$ select pg_catalog.sha256(pg_catalog.convert_to('session ' || p_tenant || ' ' || p_role, 'UTF8')) $$;

create function tests.key_hash(p_tenant text, p_name text default 'key')
returns bytea
language sql
immutable
as $$ select pg_catalog.sha256(pg_catalog.convert_to('key ' || p_tenant || ' ' || p_name, 'UTF8')) $$;

-- By the owner of the tables, outside of row-level security: a test of the rules must not depend on them for its
-- fixture.
create function tests.make_tenants()
returns void
language plpgsql
as $$
declare
    v_tenant text;
    v_role text;
begin
    foreach v_tenant in array array['a', 'b'] loop
        insert into limena.tenants (id, name) values (tests.tenant_id(v_tenant), 'Tenant ' || v_tenant);
        foreach v_role in array enum_range(null::limena.member_role)::text[] loop
            insert into limena.users (id, email, display_name, password_hash)
            values (
                tests.user_id(v_tenant, v_role), v_role || '@' || v_tenant || '.example', v_role || ' of ' || v_tenant,
                '$2b$04$' || repeat('.', 53)
            );
            insert into limena.memberships (tenant_id, user_id, role)
            values (tests.tenant_id(v_tenant), tests.user_id(v_tenant, v_role), v_role::limena.member_role);
            insert into limena.sessions (id, user_id, secret_hash, current_tenant_id)
            values (
                tests.id('session', v_tenant || ' ' || v_role), tests.user_id(v_tenant, v_role),
                tests.session_hash(v_tenant, v_role), tests.tenant_id(v_tenant)
            );
            insert into limena.session_uses (session_id, user_id)
            values (tests.id('session', v_tenant || ' ' || v_role), tests.user_id(v_tenant, v_role));
        end loop;
    end loop;
end;
$$;

create function tests.make_api_key(
    p_tenant text,
    p_name text default 'key',
    p_scopes text[] default '{api_keys:read, api_keys:write}',
    p_creator text default 'owner'
)
returns void
language plpgsql
as $$
begin
    -- Older than the test's transaction: nobody enters with a key that was made in the same one.
    insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by, created_at)
    values (
        tests.tenant_id(p_tenant), tests.api_key_id(p_tenant, p_name), p_name, 'lmn_tests0', '0000', p_scopes,
        tests.key_hash(p_tenant, p_name), tests.user_id(p_tenant, p_creator), now() - interval '1 second'
    );
end;
$$;

create function tests.integration_id(p_tenant text, p_provider text default 'anthropic')
returns uuid
language sql
immutable
as $$ select tests.id('integration', p_tenant || ' ' || p_provider) $$;

-- A connected provider with one credential of each field that is named; the ciphertexts are none, but of the right
-- size.
create function tests.make_integration(
    p_tenant text,
    p_provider text default 'anthropic',
    p_fields text[] default '{secret}',
    p_expires_at timestamptz default null,
    p_key_version integer default 1
)
returns void
language plpgsql
as $$
begin
    insert into limena_private.tenant_salts (tenant_id, salt)
    values (tests.tenant_id(p_tenant), sha256(convert_to('salt ' || p_tenant, 'UTF8')))
    on conflict (tenant_id) do nothing;
    insert into limena.integrations (tenant_id, id, provider, label, changed_by, connected_at)
    values (
        tests.tenant_id(p_tenant), tests.integration_id(p_tenant, p_provider), p_provider, 'label of ' || p_tenant,
        tests.user_id(p_tenant, 'owner'), now()
    );
    insert into limena.integration_credentials (tenant_id, integration_id, field, key_version, ciphertext, expires_at)
    select
        tests.tenant_id(p_tenant),
        tests.integration_id(p_tenant, p_provider),
        f.name,
        p_key_version,
        tests.ciphertext(p_tenant || ' ' || p_provider || ' ' || f.name),
        case f.name when 'access_token' then p_expires_at end
    from unnest(p_fields) as f (name);
end;
$$;

create function tests.ciphertext(p_name text)
returns bytea
language sql
immutable
as $$ select pg_catalog.sha256(pg_catalog.convert_to('ciphertext ' || p_name, 'UTF8')) $$;

-- The real ways in. To be called as limena_app: `set local role limena_app` comes first.
create function tests.enter_as(p_tenant text, p_role text default 'owner')
returns boolean
language plpgsql
as $$
begin
    return limena.enter_session(tests.session_hash(p_tenant, p_role), tests.tenant_id(p_tenant));
end;
$$;

create function tests.enter_with_key(p_tenant text, p_name text default 'key')
returns boolean
language plpgsql
as $$
begin
    return limena.enter_api_key(tests.key_hash(p_tenant, p_name));
end;
$$;

create function tests.leave()
returns void
language plpgsql
as $$
begin
    perform
        set_config('app.current_tenant_id', '', true),
        set_config('app.context', '', true),
        set_config('app.seal', '', true);
end;
$$;

-- What a statement comes to for whoever runs it here and now: the number of rows, or the SQLSTATE. It leaves nothing
-- behind.
create function tests.outcome(p_statement text)
returns text
language plpgsql
as $$
declare
    v_rows bigint;
begin
    begin
        execute p_statement;
        get diagnostics v_rows = row_count;
        raise exception '%', v_rows using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
        when others then return sqlstate;
    end;
end;
$$;

-- The same for several actors, each of whom enters tenant a anew: 'nobody 0, viewer 0, admin 2'. An actor is `nobody`,
-- a role, or the name of an API key that make_api_key() made.
create function tests.outcomes(p_statement text, p_actors text[] default '{nobody, viewer, member, admin, owner}')
returns text
language plpgsql
as $$
declare
    v_actor text;
    v_outcome text;
    v_outcomes text[] := '{}';
begin
    foreach v_actor in array p_actors loop
        begin
            perform tests.leave();
            if v_actor = any (enum_range(null::limena.member_role)::text[]) then
                perform tests.enter_as('a', v_actor);
            elsif v_actor <> 'nobody' then
                perform tests.enter_with_key('a', v_actor);
            end if;
            v_outcome := tests.outcome(p_statement);
            raise exception '%', v_outcome using errcode = 'TS000';
        exception
            when sqlstate 'TS000' then v_outcomes := v_outcomes || (v_actor || ' ' || sqlerrm);
        end;
    end loop;
    return array_to_string(v_outcomes, ', ');
end;
$$;

-- All of a table's policies, for results_eq(): one line a policy.
create function tests.policies_of(p_table regclass)
returns setof text
language sql
stable
as $$
select
    p.polname
    || ': '
    || (jsonb_build_object('r', 'select', 'a', 'insert', 'w', 'update', 'd', 'delete', '*', 'all') ->> p.polcmd::text)
    || ' to '
    || (
        select string_agg(coalesce(r.rolname, 'public'), ', ' order by r.rolname)
        from unnest(p.polroles) as o (oid)
        left join pg_roles as r on o.oid = r.oid
    )
    || case when p.polpermissive then '' else ', restrictive' end
from pg_policy as p
where p.polrelid = p_table
order by p.polname collate "C"
$$;

-- All that is granted on a table to anyone but its owner: one line a role and privilege, with the columns where it is a
-- column grant.
create function tests.privileges_of(p_table regclass)
returns setof text
language sql
stable
as $$
select g.line
from (
    select
        coalesce(r.rolname, 'public') || ': ' || lower(x.privilege_type) || ' on the table'
        || case when x.is_grantable then ', with grant option' else '' end as line
    from pg_class as c
    cross join aclexplode(c.relacl) as x
    left join pg_roles as r on x.grantee = r.oid
    where c.oid = p_table and x.grantee <> c.relowner
    union all
    select
        coalesce(r.rolname, 'public') || ': ' || lower(x.privilege_type)
        || ' (' || string_agg(a.attname, ', ' order by a.attnum) || ')'
        || case when x.is_grantable then ', with grant option' else '' end
    from pg_class as c
    inner join pg_attribute as a on c.oid = a.attrelid and not a.attisdropped
    cross join aclexplode(a.attacl) as x
    left join pg_roles as r on x.grantee = r.oid
    where c.oid = p_table and x.grantee <> c.relowner
    group by r.rolname, x.privilege_type, x.is_grantable
) as g
order by g.line collate "C"
$$;

-- Row-level security of a table: 'forced', 'enabled' or 'off'.
create function tests.row_security_of(p_table regclass)
returns text
language sql
stable
as $$
select
    case
        when c.relrowsecurity and c.relforcerowsecurity then 'forced' when c.relrowsecurity then 'enabled' else 'off'
    end
from pg_class as c
where c.oid = p_table
$$;

-- Seals all that is in the log, as runs of the worker would, and returns how many rows that were. seal_audit_log()
-- refuses a transaction that has written: it could not tell its own rows from those of others that are still open. A
-- pgTAP file is one, and alone; so that refusal is taken out of the function meanwhile, and what was open when a fence
-- was set is said to be over. To be called as the superuser.
create function tests.seal()
returns integer
language plpgsql
as $$
declare
    v_definition text := tests.let_seal();
    v_rows integer;
    v_sealed integer := 0;
begin
    for v_round in 1 .. 20 loop
        v_rows := limena.seal_audit_log();
        update limena_private.audit_fences set xid = '3';
        v_rows := v_rows + limena.seal_audit_log();
        if v_rows = 0 then
            execute v_definition;
            return v_sealed;
        end if;
        v_sealed := v_sealed + v_rows;
    end loop;
    raise exception 'sealing goes on for ever';
end;
$$;

-- Takes the refusal out, and returns the function as it was.
create function tests.let_seal()
returns text
language plpgsql
as $$
declare
    v_definition text := pg_get_functiondef('limena.seal_audit_log()'::regprocedure);
    v_permissive text := replace(v_definition, 'if pg_current_xact_id_if_assigned() is not null then', 'if false then');
begin
    if v_permissive !~ 'if false then' then
        raise exception 'seal_audit_log() has no refusal that could be taken out';
    end if;
    execute v_permissive;
    return v_definition;
end;
$$;

-- How a statement fails for whoever runs it here and now: 'SQLSTATE message', then what it says of column, constraint
-- and detail; NULL where it does not fail. What it did is undone.
create function tests.error_of(p_statement text)
returns text
language plpgsql
as $$
declare
    v_column text;
    v_constraint text;
    v_detail text;
    v_error text;
begin
    begin
        execute p_statement;
        raise exception 'no error' using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return null;
        when others then
            get stacked diagnostics
                v_column = column_name, v_constraint = constraint_name, v_detail = pg_exception_detail;
            v_error := concat_ws(
                '; ',
                sqlstate || ' ' || sqlerrm,
                'column ' || nullif(v_column, ''),
                'constraint ' || nullif(v_constraint, ''),
                'detail ' || nullif(v_detail, '')
            );
            return v_error;
    end;
end;
$$;

-- For the attacks of db/tests/attacks: what the current role gets to see that is not tenant p_mine's (NULL: at all), as
-- 'table rows, …'; '' when that is nothing. Every table, partition and view of limena is asked; a refusal is nothing.
-- (Names are qualified here and there, operators too, and IS DISTINCT FROM looks for one: some attacks put others in
-- front.)
create function tests.loot(p_mine text default null)
returns text
language plpgsql
as $$
declare
    v_relation record;
    v_outcome text;
    v_found text[] := '{}';
begin
    for v_relation in
        select
            c.relname as name,
            case
                when exists (
                    select from pg_catalog.pg_attribute as a
                    where a.attrelid = c.oid
                        and a.attname = 'tenant_id'
                        and not a.attisdropped
                ) then format(
                    '(%1$L is null or t.tenant_id is null or t.tenant_id operator(pg_catalog.<>) %1$L)',
                    tests.tenant_id(p_mine)
                )
                when c.relname = 'tenants' then format(
                    '(%1$L is null or t.id operator(pg_catalog.<>) %1$L)', tests.tenant_id(p_mine)
                )
                when c.relname in ('users', 'sessions', 'session_uses') then format(
                    't.%I operator(pg_catalog.<>) all (%L)',
                    case when c.relname = 'users' then 'id' else 'user_id' end,
                    array(
                        select tests.user_id(p_mine, r.role)
                        from unnest(enum_range(null::limena.member_role)::text[]) as r (role)
                        where p_mine is not null
                    )
                )
                else 'true'
            end as is_not_mine
        from pg_catalog.pg_class as c
        where c.relnamespace = 'limena'::regnamespace
            and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and c.relname not in (
                'permissions', 'role_permissions', 'permission_matrix', 'isolation_report', 'function_report',
                'audit_actions', 'audit_export'
            )
        order by c.relname
    loop
        v_outcome := tests.outcome(format('select from limena.%I as t where %s', v_relation.name, v_relation.is_not_mine));
        if v_outcome not in ('0', '42501') then
            v_found := v_found || (v_relation.name || ' ' || v_outcome);
        end if;
    end loop;
    return array_to_string(v_found, ', ');
end;
$$;

-- What the current role gets to change that is not tenant p_mine's: the statements that came to more than no rows or a
-- refusal, with what they came to. Nothing of it stays. The statements without WHERE ask for no column, so that no
-- SELECT policy stands in front of the others; they count against p_mine's own rows.
create function tests.harm(p_mine text default null)
returns text
language plpgsql
as $$
declare
    v_attempt record;
    v_outcome text;
    v_found text[] := '{}';
begin
    for v_attempt in
        select format('%s limena.%I%s', w.verb, c.relname, w.rest) as statement, '0' as harmless
        from pg_catalog.pg_class as c
        cross join (values ('delete from', ''), ('truncate', ' cascade')) as w (verb, rest)
        where c.relnamespace = 'limena'::regnamespace and c.relkind in ('r', 'p')
        union all
        select
            w.statement,
            case when p_mine is null then '0' else coalesce(w.own_rows, '0') end
        from (
            values
            (
                'update limena.api_keys set revoked_at = now()',
                tests.outcome('select from limena.api_keys where revoked_at is null')
            ),
            (format('update limena.api_keys set revoked_at = now() where id = %L', tests.api_key_id('b')), null),
            (format('update limena.api_keys set revoked_at = now() where tenant_id = %L', tests.tenant_id('b')), null),
            (format('update limena.api_keys set tenant_id = %L', tests.tenant_id('b')), null),
            ($s$update limena.api_keys set scopes = '{tenant:own}'$s$, null),
            ('update limena.api_keys set expires_at = null', null),
            ($s$update limena.memberships set role = 'owner'$s$, null),
            ($s$update limena.tenants set name = 'x'$s$, null),
            ($s$update limena.tenants set state = 'deleted'$s$, null),
            (format('update limena.tenants set name = ''x'' where id = %L', tests.tenant_id('b')), null),
            ('update limena.users set is_platform_admin = true', null),
            ('update limena.sessions set ended_at = null', null),
            (format('update limena.sessions set current_tenant_id = %L', tests.tenant_id('b')), null),
            (
                format(
                    'update limena.sessions set ended_at = now() where pg_catalog.uuid_eq(user_id, %L)', tests.user_id('b', 'owner')
                ), null
            ),
            ($s$update limena.sessions set expires_at = 'infinity'$s$, null),
            (format('update limena.sessions set user_id = %L', tests.user_id('b', 'owner')), null),
            ('update limena.session_uses set last_seen_at = now()', null),
            ('update limena.refresh_tokens set spent_at = null', null),
            ('update limena.password_resets set used_at = null', null),
            ('update limena.registrations set used_at = null', null),
            ($s$update limena.log_in_failures set blocked_until = '-infinity'$s$, null),
            ($s$update limena.outbox set recipient = 'mallory@a.example'$s$, null),
            (
                format(
                    'insert into limena.password_resets (user_id, token_hash) values (%L, sha256(%L))',
                    tests.user_id('b', 'owner'), 'planted'
                ), null
            ),
            (
                format(
                    'insert into limena.outbox (tenant_id, id, template, recipient) '
                    'values (%L, gen_random_uuid(), %L, %L)', tests.tenant_id('b'), 'x', 'mallory@a.example'
                ), null
            ),
            ('update limena.invitations set accepted_at = now()', null),
            (format('update limena.invitations set withdrawn_at = now() where tenant_id = %L', tests.tenant_id('b')), null),
            ('update limena.api_key_uses set last_used_at = now()', null),
            ($s$update limena.integrations set label = 'x'$s$, null),
            (format('update limena.integrations set tenant_id = %L', tests.tenant_id('b')), null),
            ($s$update limena.integrations set provider = 'x'$s$, null),
            ($s$update limena.integrations set base_url = 'https://evil.example'$s$, null),
            ('update limena.integrations set refresh_leased_until = null', null),
            ('delete from limena.integration_credentials', null),
            ('update limena.integration_credentials set key_version = 9', null),
            ($s$update limena.integration_credentials set ciphertext = sha256('x')$s$, null),
            ($s$update limena.integration_flows set ciphertext = sha256('x')$s$, null),
            (
                format(
                    'insert into limena.integrations (tenant_id, id, provider, changed_by) '
                    'values (%L, gen_random_uuid(), %L, %L)',
                    tests.tenant_id('b'), 'planted', tests.user_id('b', 'owner')
                ), null
            ),
            (
                format(
                    'insert into limena.integration_credentials (tenant_id, integration_id, field, key_version, ciphertext)'
                    ' values (%L, %L, %L, 1, sha256(%L))',
                    tests.tenant_id('b'), tests.integration_id('b'), 'access_token', 'planted'
                ), null
            ),
            ('update limena.ai_settings set max_tokens_per_month = 1', null),
            ('update limena.ai_quotas set used_tokens = 0', null),
            ('update limena.ai_quota_months set used_tokens = 0', null),
            ($s$update limena.ai_reservations set state = 'released'$s$, null),
            ('update limena.ai_usage_logs set prompt_tokens = 0', null),
            ('update limena.ai_usage_days set calls = 0', null),
            (
                format(
                    'insert into limena.ai_settings (tenant_id, max_calls_per_hour) values (%L, 1000000)',
                    tests.tenant_id(p_mine)
                ), null
            ),
            (
                format(
                    'insert into limena.ai_quotas (tenant_id, as_of) values (%L, now())', tests.tenant_id('b')
                ), null
            ),
            ($s$update limena.audit_logs set action = 'x.x'$s$, null),
            (
                format(
                    'insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by)'
                    ' '
                    'values (%L, gen_random_uuid(), %L, %L, %L, %L, sha256(%L), %L)',
                    tests.tenant_id('b'), 'planted', 'lmn_abcdef', '0000', '{api_keys:read}', 'planted',
                    tests.user_id('b', 'owner')
                ), null
            ),
            (
                format(
                    'insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by)'
                    ' '
                    'values (%L, gen_random_uuid(), %L, %L, %L, %L, sha256(%L), %L)',
                    tests.tenant_id('b'), 'planted', 'lmn_abcdef', '0000', '{api_keys:read}', 'planted',
                    tests.user_id(p_mine, 'owner')
                ), null
            ),
            (
                format(
                    'insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by) '
                    'values (%L, gen_random_uuid(), %L, %L, sha256(%L), %L)',
                    tests.tenant_id('b'), 'mallory@a.example', 'owner', 'planted', tests.user_id('b', 'owner')
                ), null
            ),
            (
                format(
                    'insert into limena.api_key_uses (tenant_id, api_key_id) values (%L, %L)',
                    tests.tenant_id('b'), tests.api_key_id('b')
                ), null
            ),
            (
                format(
                    'insert into limena.memberships (tenant_id, user_id, role) values (%L, %L, %L)',
                    tests.tenant_id('b'), tests.user_id('a', 'owner'), 'owner'
                ), null
            ),
            (
                format(
                    'insert into limena.sessions (user_id, secret_hash) values (%L, sha256(%L))',
                    tests.user_id('b', 'owner'), 'planted'
                ), null
            ),
            (
                format(
                    'insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type) '
                    'values (%L, now(), 0, gen_random_uuid(), %L, %L)', tests.tenant_id('b'), 'x.x', 'system'
                ), null
            ),
            ($s$insert into limena.tenants (name) values ('x')$s$, null),
            ($s$insert into limena.permissions (name, description) values ('x:x', 'x')$s$, null),
            ($s$insert into limena.role_permissions (role, permission) values ('viewer', 'tenant:own')$s$, null)
        ) as w (statement, own_rows)
    loop
        v_outcome := tests.outcome(v_attempt.statement);
        if v_outcome not in ('0', '42501', v_attempt.harmless) then
            v_found := v_found || format('%s: %s', v_attempt.statement, v_outcome);
        end if;
    end loop;
    return array_to_string(v_found, '; ');
end;
$$;

-- Sets the three parameters of a context to what an attacker likes (NULL: left as it is), reaps, and puts them back. ''
-- when nothing was to be had.
create function tests.plunder(p_tenant_id text, p_context text, p_seal text, p_mine text default null)
returns text
language plpgsql
as $$
begin
    begin
        perform
            pg_catalog.set_config(g.name, coalesce(g.value, pg_catalog.current_setting(g.name, true)), true)
        from (
            values ('app.current_tenant_id', p_tenant_id), ('app.context', p_context), ('app.seal', p_seal)
        ) as g (name, value);
        raise exception '%', concat_ws('; ', nullif(tests.loot(p_mine), ''), nullif(tests.harm(p_mine), ''))
            using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;

-- Walks through a list page by page and shows one field of each item: '[x y][z]'. p_call has a place for limit and for
-- cursor, such as 'limena.list_members(%s, %L)'.
create function tests.pages(p_call text, p_limit integer, p_field text)
returns text
language plpgsql
as $$
declare
    v_page jsonb;
    v_cursor text;
    v_items text;
    v_pages text := '';
begin
    loop
        execute format('select ' || p_call, p_limit, v_cursor) into v_page;
        select string_agg(i.item ->> p_field, ' ' order by i.place) into v_items
        from jsonb_array_elements(v_page -> 'items') with ordinality as i (item, place);
        v_pages := v_pages || format('[%s]', v_items);
        v_cursor := v_page ->> 'next';
        exit when v_cursor is null;
        -- A list that goes round in circles ends all the same.
        exit when length(v_pages) > 100000;
    end loop;
    return v_pages;
end;
$$;

-- The same of a query's first column in its order, as it should come out.
create function tests.paged(p_query text, p_limit integer)
returns text
language plpgsql
as $$
declare
    v_item text;
    v_pages text := '';
    v_place integer := 0;
begin
    for v_item in execute p_query loop
        v_pages := v_pages || case when v_place % p_limit > 0 then ' ' when v_place = 0 then '[' else '][' end || v_item;
        v_place := v_place + 1;
    end loop;
    return v_pages || ']';
end;
$$;

-- What EXPLAIN tells of a statement, run or not, and what the statistics of this transaction tell of what it touched;
-- or the SQLSTATE.
create function tests.explained(p_statement text, p_options text default 'analyze, costs off, timing off, summary off')
returns text
language plpgsql
as $$
declare
    v_line text;
    v_lines text[] := '{}';
begin
    for v_line in execute format('explain (%s) %s', p_options, p_statement) loop
        v_lines := v_lines || v_line;
    end loop;
    -- Blocks in memory differ from one run to the next.
    return regexp_replace(array_to_string(v_lines, E'\n'), '\n *(Buffers|Planning)[^\n]*', '', 'g');
exception
    when others then return sqlstate;
end;
$$;

-- The lines of a query in the order of their bytes, whatever the collations of the database and of the catalogs: for
-- results_eq().
create function tests.lines(p_query text)
returns setof text
language plpgsql
as $$
begin
    return query execute format(
        'select l.line::text collate "default" from (%s) as l (line) order by l.line::text collate "C"', p_query
    );
end;
$$;
