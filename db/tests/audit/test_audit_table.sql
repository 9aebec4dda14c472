-- limena_private.audit_table(): what a policy file can register, and what it cannot forget. Fails without the
-- function's checks; with what it makes, test_record_changes.sql goes on.
begin;
select plan(26);

set local role limena_owner;
create table limena.things (
    tenant_id uuid not null,
    id integer not null,
    name text,
    primary key (tenant_id, id)
);

-- Registers, as the policy files do, and again with something else.
select lives_ok(
    $$select limena_private.audit_table(
        p_table => 'limena.things',
        p_entity_type => 'thing',
        p_key_columns => '{tenant_id, id}',
        p_entity_column => 'id'
    )$$,
    'a table is registered'
);
select results_eq(
    $$select
        t.entity_type, t.key_columns, t.entity_column, t.scope, t.scope_column, t.redacted_columns, t.column_actions,
        t.ignored_columns
    from limena_private.audited_tables as t
    where t.relation = 'limena.things'::regclass$$,
    $$values (
        'thing', '{tenant_id, id}'::text[], 'id', 'tenant', 'tenant_id', '{}'::text[], '[]'::jsonb, '{}'::text[]
    )$$,
    'as what it was said to be'
);
select triggers_are(
    'limena',
    'things',
    array['audit_insert', 'audit_update', 'audit_delete', 'audit_truncate'],
    'it has a trigger for each way to change it'
);
select is(
    array(
        select format('%s %s %s', t.tgname, t.tgfoid::regprocedure, t.tgenabled)
        from pg_trigger as t
        where t.tgrelid = 'limena.things'::regclass
        order by t.tgname
    ),
    array[
        'audit_delete limena_private.record_changes() O', 'audit_insert limena_private.record_changes() O',
        'audit_truncate limena_private.record_changes() O', 'audit_update limena_private.record_changes() O'
    ],
    'each enabled, each to record_changes()'
);
select lives_ok(
    $$select limena_private.audit_table(
        p_table => 'limena.things',
        p_entity_type => 'thing',
        p_key_columns => '{tenant_id, id}',
        p_entity_column => 'id',
        p_redacted_columns => '{name}', p_column_actions => '[["name", "thing.renamed"]]',
        p_ignored_columns => '{id}'
    )$$,
    'it can be registered again'
);
select results_eq(
    $$select t.redacted_columns, t.column_actions, t.ignored_columns from limena_private.audited_tables as t
    where t.relation = 'limena.things'::regclass$$,
    $$values ('{name}'::text[], '[["name", "thing.renamed"]]'::jsonb, '{id}'::text[])$$,
    'and the new registration is the one that counts'
);

-- What cannot be forgotten: a column that looks like a secret.
select
    is(
        tests.error_of(
            format(
                $$alter table limena.things add column %1$s;
            select limena_private.audit_table('limena.things', 'thing', '{tenant_id, id}', 'id')$$,
                c.definition
            )
        ),
        format(
            '55000 column %s of limena.things looks like a secret and is not redacted', split_part(c.definition, ' ', 1)
        ),
        format('%s must be redacted', c.definition)
    )
from (
    values
    ('key_hash text'), ('password text'), ('new_password text'), ('client_secret text'), ('token text'),
    ('access_token_id uuid'), ('token_used_at date'),
    ('anything bytea')
) as c (definition);
select is(
    tests.error_of(
        $$alter table limena.things add column key_hash bytea;
        select limena_private.audit_table('limena.things', 'thing', '{tenant_id, id}', 'id',
            p_redacted_columns => '{key_hash}')$$
    ),
    null, 'redacted it is accepted'
);
select is(
    tests.error_of(
        $$alter table limena.things add column key_hash bytea;
        alter table limena.things drop column key_hash;
        select limena_private.audit_table('limena.things', 'thing', '{tenant_id, id}', 'id')$$
    ),
    null, 'a column that is gone is no longer asked for'
);

select is(
    tests.error_of(
        $$alter table limena.things add column token_used_at timestamptz;
        select limena_private.audit_table('limena.things', 'thing', '{tenant_id, id}', 'id')$$
    ),
    null, 'a time is no secret'
);

-- What cannot be misspelled.
select matches(tests.error_of(w.statement), w.pattern, w.description)
from (
    values
    (
        $$select limena_private.audit_table('limena.things', 'thing', '{tenant_id, no}', 'id')$$,
        '^42703 there is no column no in limena.things', 'a key column'
    ),
    (
        $$select limena_private.audit_table('limena.things', 'thing', '{id}', 'no')$$,
        '^42703 there is no column no in limena.things', 'the entity''s column'
    ),
    (
        $$select limena_private.audit_table('limena.things', 'thing', '{id}', 'id', 'tenant', 'no')$$,
        '^42703 there is no column no in limena.things', 'the column of the scope'
    ),
    (
        $$select limena_private.audit_table('limena.things', 'thing', '{id}', 'id', p_redacted_columns => '{no}')$$,
        '^42703 there is no column no in limena.things', 'a redacted column'
    ),
    (
        $$select limena_private.audit_table(
            'limena.things', 'thing', '{id}', 'id', p_column_actions => '[["no", "x.y"]]'
        )$$,
        '^42703 there is no column no in limena.things', 'a column with an action'
    ),
    (
        $$select limena_private.audit_table('limena.things', 'thing', '{id}', 'id', p_ignored_columns => '{no}')$$,
        '^42703 there is no column no in limena.things', 'an ignored column'
    ),
    (
        $$select limena_private.audit_table('limena.things', 'thing', '{id}', 'id', 'galaxy')$$,
        '^23514 .*constraint audited_tables_scope_check', 'a scope'
    ),
    ($$select limena_private.audit_table('limena.nothing', 'thing', '{id}', 'id')$$, '^42P01 ', 'a table')
) as w (statement, pattern, description);

-- What is registered of the tables that there are. Each secret is redacted; the log itself and what is written at each
-- use are not there.
reset role;
drop table limena.things;
select results_eq(
    $$select format(
        '%s %s %s', c.relname::text collate "default", t.entity_type, to_jsonb(t) - '{relation, entity_type}'::text[]
    )
    from limena_private.audited_tables as t
    inner join pg_class as c on t.relation = c.oid and c.relnamespace = 'limena'::regnamespace
    order by c.relname$$,
    $$select format(
        '%s %s %s', e.relation, e.entity_type,
        jsonb_build_object(
            'key_columns',
            e.key_columns,
            'entity_column',
            e.entity_column,
            'scope',
            e.scope,
            'scope_column',
            e.scope_column,
            'redacted_columns',
            e.redacted_columns,
            'column_actions',
            e.column_actions,
            'ignored_columns',
            e.ignored_columns
        )
    )
    from (
        values
        (
            'ai_settings', 'ai_settings', '{tenant_id}'::text[], 'tenant_id', 'tenant', 'tenant_id', '{}'::text[],
            '[]'::jsonb, '{}'::text[]
        ),
        (
            'api_keys', 'api_key', '{tenant_id, id}', 'id', 'tenant', 'tenant_id', '{key_hash}',
            '[
                ["revoked_at", "api_key.revoked"], ["replaced_by", "api_key.rotated"],
                ["created_by", "api_key.transferred"]
            ]', '{held_since}'
        ),
        (
            'integration_credentials', 'integration_credential', '{tenant_id, integration_id, field}', 'integration_id',
            'tenant', 'tenant_id', '{ciphertext}', '[["key_version", "integration_credential.resealed"]]', '{}'
        ),
        (
            'integration_flows', 'integration_flow', '{tenant_id, id}', 'id', 'tenant', 'tenant_id',
            '{state_hash, ciphertext}', '[]', '{}'
        ),
        (
            'integrations', 'integration', '{tenant_id, id}', 'id', 'tenant', 'tenant_id', '{}',
            '[["disconnected_at", "integration.disconnected"], ["failed_at", "integration.failed"],
            ["connected_at", "integration.connected"], ["revocation", "integration.revocation_recorded"]]', '{refresh_leased_until}'
        ),
        (
            'invitations', 'invitation', '{tenant_id, id}', 'id', 'tenant', 'tenant_id', '{token_hash}',
            '[["accepted_at", "invitation.accepted"], ["withdrawn_at", "invitation.withdrawn"]]', '{}'
        ),
        (
            'memberships', 'membership', '{tenant_id, user_id}', 'user_id', 'tenant', 'tenant_id', '{}',
            '[["role", "membership.role_changed"]]', '{}'
        ),
        (
            'operator_access', 'operator_access', '{tenant_id, id}', 'id', 'tenant', 'tenant_id', '{ticket_hash}',
            '[["closed_at", "operator.access_closed"]]', '{session_id}'
        ),
        (
            'outbox', 'mail', '{tenant_id, id}', 'id', 'tenant', 'tenant_id', '{}', '[]',
            '{attempts, due_at, delivered_at, abandoned_at}'
        ),
        (
            'password_resets', 'password_reset', '{id}', 'id', 'user', 'user_id', '{token_hash}',
            '[["used_at", "password_reset.used"]]', '{}'
        ),
        ('permissions', 'permission', '{name}', 'name', 'platform', null, '{}', '[]', '{}'),
        (
            'refresh_tokens', 'refresh_token', '{id}', 'id', 'user', 'user_id', '{token_hash}',
            '[["spent_at", "refresh_token.spent"]]', '{}'
        ),
        (
            'registrations', 'registration', '{id}', 'id', 'platform', null, '{password_hash, token_hash, registrant_hash}',
            '[["used_at", "registration.verified"]]', '{}'
        ),
        (
            'role_permissions', 'role_permission', '{role, permission}', 'permission', 'platform', null, '{}',
            '[]', '{}'
        ),
        (
            'sessions', 'session', '{id}', 'id', 'user', 'user_id', '{secret_hash}',
            '[["ended_at", "session.ended"]]', '{current_tenant_id}'
        ),
        (
            'tenants', 'tenant', '{id}', 'id', 'tenant', 'id', '{}', '[["state", "tenant.state_changed"]]',
            '{api_keys_revoked_at}'
        ),
        (
            'users', 'user', '{id}', 'id', 'user', 'id', '{password_hash}',
            '[["password_changed_at", "user.password_changed"], ["is_platform_admin", "user.platform_admin_changed"]]', '{}'
        )
    ) as e (
        relation,
        entity_type,
        key_columns,
        entity_column,
        scope,
        scope_column,
        redacted_columns,
        column_actions,
        ignored_columns
    )$$,
    'exactly these tables'
);

select * from finish();
rollback;
