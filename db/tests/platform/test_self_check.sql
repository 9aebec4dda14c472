-- limena.self_check(): breaks each promise in turn and expects to be told. Fails where self_check() does not look; that
-- what it finds unbroken is so, test_catalog.sql shows without it.
begin;
select plan(90);

-- What self_check() says once a statement was run; all of it is undone.
create function pg_temp.findings_after(p_statement text)
returns text
language plpgsql
as $$
declare
    v_findings text;
begin
    begin
        execute p_statement;
        select
            string_agg(
                format('%s: %s: %s', c.check_name, c.object, c.finding), E'\n'
                order by c.check_name, c.object, c.finding
            )
        into v_findings
        from limena.self_check() as c
        -- Every change to a definition is found that way too: test_definitions.sql.
        where c.check_name <> 'definitions';
        raise exception '%', coalesce(v_findings, 'nothing') using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
    end;
end;
$$;

-- {month} and {next month} are the names of partitions.
create function pg_temp.filled_in(p_text text)
returns text
language sql
as $$
select replace(replace(replace(replace(
    p_text, '{month}', to_char(now() at time zone 'UTC', 'YYYY_MM')),
    '{next month}', to_char(now() at time zone 'UTC' + interval '1 month', 'YYYY_MM')),
    '{next-month}', to_char(now() at time zone 'UTC' + interval '1 month', 'YYYY-MM')),
    '{database}', current_database())
$$;

select is(pg_temp.findings_after('select 1'), 'nothing', 'nothing is broken, nothing is found');

-- One statement, and the one finding that there has to be.
select is(pg_temp.findings_after(pg_temp.filled_in(w.statement)), pg_temp.filled_in(w.findings), w.statement)
from (
    values
    -- Roles.
    (
        'alter role limena_app bypassrls',
        'roles: limena_app: is a superuser or has BYPASSRLS, CREATEROLE, CREATEDB or REPLICATION'
    ),
    (
        'alter role limena_app createrole',
        'roles: limena_app: is a superuser or has BYPASSRLS, CREATEROLE, CREATEDB or REPLICATION'
    ),
    (
        'alter role limena_auth createdb',
        'roles: limena_auth: is a superuser or has BYPASSRLS, CREATEROLE, CREATEDB or REPLICATION'
    ),
    (
        'alter role limena_maintenance replication',
        'roles: limena_maintenance: is a superuser or has BYPASSRLS, CREATEROLE, CREATEDB or REPLICATION'
    ),
    ('alter role limena_owner login', 'roles: limena_owner: can log in'),
    (
        'grant pg_read_all_data to limena_readonly',
        'roles: limena_readonly in pg_read_all_data: one role of Limena is a member of another role'
    ),
    (
        'create role limena_test_person login inherit; grant limena_owner to limena_test_person',
        'roles: limena_test_person: has the rights of limena_owner without SET ROLE'
    ),
    (
        'create role limena_test_person login inherit; create role limena_test_group inherit;
        grant limena_owner to limena_test_group; grant limena_test_group to limena_test_person',
        E'roles: limena_test_group: has the rights of limena_owner without SET ROLE\n'
        'roles: limena_test_person: has the rights of limena_owner without SET ROLE'
    ),
    (
        'create role limena_test_person login noinherit; grant limena_readonly to limena_test_person', 'nothing'
    ),

    -- Row-level security.
    (
        'alter table limena.users disable row level security',
        'isolation: limena.users: unprotected: no row-level security'
    ),
    (
        'alter table limena.users no force row level security',
        'isolation: limena.users: unprotected: row-level security does not bind the owner'
    ),
    (
        'alter table limena.api_key_uses disable row level security',
        'isolation: limena.api_key_uses: unprotected: no row-level security'
    ),
    (
        'alter table limena.audit_logs_{month} disable row level security',
        'isolation: limena.audit_logs_{month}: unprotected: no row-level security'
    ),
    (
        'grant select on limena.audit_logs_{month} to limena_app',
        'isolation: limena.audit_logs_{month}: a partition has a policy or a grant of its own'
    ),
    (
        'grant select (id) on limena.audit_logs_{month} to limena_app',
        'isolation: limena.audit_logs_{month}: a partition has a policy or a grant of its own'
    ),
    (
        'create policy x on limena.audit_logs_{month} for select to limena_owner using (true)',
        'isolation: limena.audit_logs_{month}: a partition has a policy or a grant of its own'
    ),
    ('grant select (name) on limena.tenants to public', 'isolation: limena.tenants: unprotected: granted to PUBLIC'),
    ('grant select on limena.tenants to public', 'isolation: limena.tenants: unprotected: granted to PUBLIC'),
    (
        'create table limena.stray (tenant_id uuid primary key); alter table limena.stray owner to limena_owner',
        E'audit: limena.stray: has no audit triggers and is not on the list of exceptions\n'
        'isolation: limena.stray: unprotected: no row-level security'
    ),
    (
        'create view limena.leak as select * from limena.tenants; alter view limena.leak owner to limena_owner',
        'isolation: limena.leak: is a materialized view, or a view that does not run as its caller'
    ),
    (
        'create materialized view limena.leak as select id from limena.tenants; alter materialized view'
        ' limena.leak owner to limena_owner',
        'isolation: limena.leak: is a materialized view, or a view that does not run as its caller'
    ),
    (
        'create rule sneak as on insert to limena.tenants do also notify sneak', 'isolation: limena.tenants: has a rule'
    ),
    (
        'alter table limena.api_key_uses owner to limena_app',
        E'isolation: limena.api_key_uses: does not belong to limena_owner\n'
        'isolation: limena.api_key_uses_pkey: does not belong to limena_owner'
    ),

    -- Policies.
    (
        'create policy x on limena.tenants for select to limena_app using (true)',
        'policies: limena.tenants: x: does not ask for the tenant or the person'
    ),
    (
        'create policy x on limena.tenants for select to limena_app using'
        ' (current_setting(''app.current_tenant_id'')::uuid = id)',
        'policies: limena.tenants: x: does not ask for the tenant or the person'
    ),
    (
        'create policy x on limena.tenants for select using (true)',
        'policies: limena.tenants: x: is not for one role that has policies'
    ),
    (
        'create policy x on limena.tenants for select to limena_auth using (true)',
        'policies: limena.tenants: x: is not for one role that has policies'
    ),
    (
        'create policy x on limena.audit_logs for delete to limena_owner using (true)',
        'policies: limena.audit_logs: x: changes what may be done to the log'
    ),
    (
        'create policy x on limena.audit_logs for all to limena_owner using (true)',
        'policies: limena.audit_logs: x: changes what may be done to the log'
    ),

    -- Keys that lead into another tenant.
    (
        'alter table limena.memberships drop constraint memberships_pkey cascade, add constraint'
        ' memberships_pkey primary key (user_id, tenant_id)',
        E'isolation: limena.memberships: tenant_id is not the first column'
        ' of a primary key, a unique key or a foreign key to a tenant table\n'
        'isolation: limena.memberships_pkey: a unique index does not begin with tenant_id'
    ),
    (
        'alter table limena.memberships add constraint memberships_user_id_key unique (user_id)',
        E'isolation: limena.memberships: tenant_id is not the first column'
        ' of a primary key, a unique key or a foreign key to a tenant table\n'
        'isolation: limena.memberships_user_id_key: a unique index does not begin with tenant_id'
    ),
    (
        'create unique index sneak on limena.invitations (email)',
        'isolation: limena.sneak: a unique index does not begin with tenant_id'
    ),
    (
        'alter table limena.invitations add unique (id, tenant_id), drop constraint invitations_pkey,
        add primary key (tenant_id, id);
        alter table limena.api_key_uses add column other uuid,
        add foreign key (other, tenant_id) references limena.invitations (id, tenant_id)',
        E'isolation: limena.api_key_uses: tenant_id is not the first column'
        ' of a primary key, a unique key or a foreign key to a tenant table\n'
        'isolation: limena.invitations: tenant_id is not the first column of a primary key, a unique key or a'
        ' foreign key to a tenant table\n'
        'isolation: limena.invitations_id_tenant_id_key: a unique index does not begin with tenant_id'
    ),

    -- The log.
    (
        'drop trigger audit_delete on limena.users',
        'audit: limena.users: has no audit triggers and is not on the list of exceptions'
    ),
    (
        'alter table limena.users disable trigger audit_update',
        'audit: limena.users: has no audit triggers and is not on the list of exceptions'
    ),
    (
        'alter table limena.users enable replica trigger audit_update',
        'audit: limena.users: has no audit triggers and is not on the list of exceptions'
    ),
    (
        'create or replace trigger audit_truncate after truncate on limena.users for each statement when (false)
        execute function limena_private.record_changes()',
        'audit: limena.users: has no audit triggers and is not on the list of exceptions'
    ),
    (
        'drop trigger audit_update on limena.users; create trigger audit_update after update of email on limena.users
        for each statement execute function limena_private.record_changes()',
        'audit: limena.users: has no audit triggers and is not on the list of exceptions'
    ),
    (
        'create function limena.made_up() returns void language plpgsql set search_path = pg_catalog, pg_temp as $f$
        begin
            perform limena_private.record_event(p_tenant_id => null, p_action => ''made.up'');
        end;
        $f$; alter function limena.made_up() owner to limena_owner; revoke all on function limena.made_up() from public',
        'audit: made.up: is not in limena.audit_actions'
    ),
    (
        'create function limena.made_up(p_action text) returns void language plpgsql
        set search_path = pg_catalog, pg_temp as $f$
        begin
            perform limena_private.record_event(p_tenant_id => null, p_action => p_action);
        end;
        $f$; alter function limena.made_up owner to limena_owner; revoke all on function limena.made_up from public',
        'audit: limena.made_up(text): records an action that is no literal'
    ),
    (
        $$update limena_private.audited_tables set column_actions = '[["email", "user.moved"]]'
        where entity_type = 'user'$$,
        'audit: user.moved: is not in limena.audit_actions'
    ),
    (
        'delete from limena_private.audited_tables where relation = ''limena.users''::regclass',
        'audit: limena.users: has audit triggers and is not registered'
    ),
    (
        'update limena_private.audited_tables set redacted_columns = ''{}'' where relation ='
        ' ''limena.users''::regclass',
        'audit: limena.users.password_hash: looks like a secret and is not redacted'
    ),
    (
        'alter table limena.tenants add column webhook_secret text',
        'audit: limena.tenants.webhook_secret: looks like a secret and is not redacted'
    ),
    (
        'alter table limena.audit_logs detach partition limena.audit_logs_{next month}',
        E'audit: limena.audit_logs: has no partition for {next-month}\n'
        'audit: limena.audit_logs_{next month}: has no audit triggers and is not on the list of exceptions'
    ),
    (
        'grant insert on limena.audit_logs to limena_app',
        E'audit: limena_app: may INSERT on limena.audit_logs\n'
        'grants: limena.audit_logs: limena_app may insert and is not on the list of who may'
    ),
    (
        'grant truncate on limena.audit_logs to limena_maintenance',
        E'audit: limena_maintenance: may TRUNCATE on limena.audit_logs\n'
        'grants: limena.audit_logs: limena_maintenance may truncate and is not on the list of who may'
    ),
    (
        'grant usage on sequence limena.audit_logs_seq_seq to limena_app',
        E'audit: limena_app: may USAGE on limena.audit_logs_seq_seq\n'
        'grants: limena.audit_logs_seq_seq: limena_app may usage and is not on the list of who may'
    ),

    -- Functions.
    (
        'grant execute on function limena.require(text) to public',
        'functions: limena.require(text): is executable by PUBLIC'
    ),
    (
        'grant execute on function limena.promote_user(text) to limena_app',
        'functions: limena.promote_user(text): is executable by limena_app'
    ),
    (
        'grant execute on function limena_private.record_event(uuid,text,text,text,jsonb) to limena_app',
        'functions: limena_private.record_event(uuid,text,text,text,jsonb): is executable by limena_app'
    ),
    (
        'grant execute on function limena.begin_log_in(text,inet,bytea) to limena_app',
        'functions: limena.begin_log_in(text,inet,bytea): is executable by others than the list says: limena_app, limena_auth'  -- noqa: LT05
    ),
    (
        'revoke execute on function limena.begin_log_in(text,inet,bytea) from limena_auth',
        'functions: limena.begin_log_in(text,inet,bytea): is executable by others than the list says: nobody'
    ),
    (
        'alter function limena.require(text) owner to limena_app',
        'functions: limena.require(text): does not belong to limena_owner'
    ),
    (
        'alter function limena.require(text) security definer',
        'functions: limena.require(text): is SECURITY DEFINER and not on the list'
    ),
    (
        'alter function limena.begin_log_in(text,inet,bytea) security invoker',
        'functions: limena.begin_log_in: is on the list of SECURITY DEFINER functions and is none'
    ),
    (
        'alter function limena.begin_log_in(text,inet,bytea) reset search_path',
        'functions: limena.begin_log_in(text,inet,bytea): does not pin search_path = pg_catalog, pg_temp'
    ),
    (
        'alter function limena.begin_log_in(text,inet,bytea) set search_path = pg_catalog',
        'functions: limena.begin_log_in(text,inet,bytea): does not pin search_path = pg_catalog, pg_temp'
    ),
    (
        'alter function limena.get_me() reset search_path',
        'functions: limena.get_me(): does not pin search_path = pg_catalog, pg_temp'
    ),
    (
        'alter function limena.has_permission(text) immutable',
        'functions: limena.has_permission(text): reads the context and is not STABLE and PARALLEL RESTRICTED'
    ),
    (
        'alter function limena.current_tenant_id() parallel safe',
        'functions: limena.current_tenant_id(): reads the context and is not STABLE and PARALLEL RESTRICTED'
    ),
    (
        'alter function limena_private.verified_context() immutable',
        'functions: limena_private.verified_context(): reads the context and is not STABLE and PARALLEL RESTRICTED'
    ),
    (
        'alter function limena.enter_session(bytea,uuid,text,inet,text) parallel safe',
        'functions: limena.enter_session(bytea,uuid,text,inet,text): enters a context and is not VOLATILE and'
        ' PARALLEL UNSAFE'
    ),
    (
        'create function limena.require(p_permission text, p_more text) returns void language plpgsql
        stable parallel restricted set search_path = pg_catalog, pg_temp
        as ''begin end''; alter function limena.require(text,text) owner to limena_owner;
        revoke execute on function limena.require(text,text) from public',
        'functions: limena.require(text): has a namesake: 2 functions share one name'
    ),
    (
        'create function tests.sneak() returns void language sql as ''''; alter function tests.sneak() owner'
        ' to limena_owner',
        'functions: tests.sneak(): belongs to limena_owner and is outside of its schemas'
    ),
    (
        'alter default privileges for role limena_owner grant execute on functions to public',
        'functions: default privileges: functions would be executable by PUBLIC'
    ),
    (
        'alter default privileges for role limena_owner in schema limena grant select on tables to limena_app',
        'functions: default privileges: functions would be executable by PUBLIC'
    ),

    -- Secrets, and who may write.
    (
        'grant select (key_hash) on limena.api_keys to limena_app',
        'secrets: limena_app on limena.api_keys.key_hash: may read a hash or a password'
    ),
    (
        'grant select on limena.invitations to limena_readonly',
        'secrets: limena_readonly on limena.invitations.token_hash: may read a hash or a password'
    ),
    (
        'grant select (password_hash) on limena.users to public',
        E'isolation: limena.users: unprotected: granted to PUBLIC\n'
        'secrets: PUBLIC on limena.users.password_hash: may read a hash or a password'
    ),
    (
        'grant delete on limena.memberships to limena_app',
        'grants: limena.memberships: limena_app may delete and is not on the list of who may'
    ),
    (
        'grant update (role) on limena.memberships to limena_app',
        'grants: limena.memberships: limena_app may update and is not on the list of who may'
    ),
    (
        'grant references on limena.tenants to limena_readonly',
        'grants: limena.tenants: limena_readonly may references and is not on the list of who may'
    ),
    (
        'grant select on limena_private.seal_keys to limena_app',
        'grants: limena_private.seal_keys: limena_app may select and is not on the list of who may'
    ),

    -- Schemas and the database.
    ('grant usage on schema limena_private to limena_app', 'schemas: limena_private: limena_app may USAGE'),
    ('grant create on schema limena to limena_app', 'schemas: limena: limena_app may CREATE'),
    ('grant usage on schema limena to public', 'schemas: limena: PUBLIC may USAGE'),
    ('grant create on schema public to public', 'schemas: public: PUBLIC may CREATE'),
    ('grant create on schema public to limena_app', 'schemas: public: limena_app may CREATE'),
    ('grant create on schema public to limena_owner', 'schemas: public: limena_owner may CREATE'),
    (
        'grant temporary on database {database} to public',
        'database: {database}: PUBLIC may TEMPORARY'
    ),
    (
        'grant temporary on database {database} to limena_app',
        'database: {database}: limena_app may TEMPORARY'
    ),
    (
        'grant create on database {database} to limena_auth',
        'database: {database}: limena_auth may CREATE'
    ),

    -- Statistics.
    (
        'alter table limena.users alter column email set statistics 100',
        'statistics: limena.users.email: has statistics'
    ),
    ('alter table limena.users alter column email set statistics -1', 'statistics: limena.users.email: has statistics'),
    (
        'alter table limena.tenants alter column name set statistics -1',
        'statistics: limena.tenants.name: has statistics'
    ),
    (
        'alter table limena.audit_logs_{month} alter column changes set statistics -1',
        'statistics: limena.audit_logs_{month}.changes: has statistics'
    )
) as w (statement, findings);

-- Who may ask.
select is(
    array(
        select r.rolname::text
        from pg_roles as r
        where
            r.rolname ~ '^limena_(app|auth|readonly|maintenance)$'
            and has_function_privilege(r.oid, 'limena.self_check()', 'execute')
    ),
    array['limena_maintenance'], 'limena_maintenance may ask'
);
set local role limena_maintenance;
select is_empty('select c.check_name from limena.self_check() as c', 'and is told that all is well');

select * from finish();
rollback;
