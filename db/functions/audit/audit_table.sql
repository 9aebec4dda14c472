-- Called from a table's policy file: registers what is recorded of the table, and puts the triggers on it.
--
-- What would go wrong by forgetting: a secret in the log. So every bytea column, and every column whose name speaks of
-- a hash, a secret, a token or a password, must be redacted, else the deploy fails.
--
-- SECURITY INVOKER: only limena_owner can call it, in a deploy.
create or replace function limena_private.audit_table(
    p_table regclass,
    p_entity_type text,
    p_key_columns text[],
    p_entity_column text,
    p_scope text default 'tenant',
    p_scope_column text default 'tenant_id',
    p_redacted_columns text[] default '{}',
    p_column_actions jsonb default '[]',
    p_ignored_columns text[] default '{}'
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_column text;
    v_trigger record;
begin
    for v_column in
        select a.attname
        from pg_attribute as a
        where a.attrelid = p_table
            and a.attnum > 0
            and not a.attisdropped
            and (a.atttypid = 'bytea'::regtype or a.atttypid <> all ('{timestamptz, integer, bigint}'::regtype[]) and a.attname ~ '(hash|secret|token|password)')
            and a.attname <> all (p_redacted_columns)
    loop
        raise exception 'column % of % looks like a secret and is not redacted', v_column, p_table using errcode = '55000';
    end loop;
    for v_column in
        select c.name
        from unnest(
            p_key_columns || p_entity_column || p_scope_column || p_redacted_columns || p_ignored_columns
            || array(select a.pair ->> 0 from jsonb_array_elements(p_column_actions) as a (pair))
        ) as c (name)
        where c.name is not null
            and not exists (
                select from pg_attribute as a
                where a.attrelid = p_table and a.attname = c.name and a.attnum > 0 and not a.attisdropped
            )
    loop
        raise exception 'there is no column % in %', v_column, p_table using errcode = '42703';
    end loop;

    insert into limena_private.audited_tables as t (
        relation, entity_type, key_columns, entity_column, scope, scope_column, redacted_columns, column_actions,
        ignored_columns
    )
    values (
        p_table, p_entity_type, p_key_columns, p_entity_column, p_scope, p_scope_column, p_redacted_columns, p_column_actions,
        p_ignored_columns
    )
    on conflict (relation) do update
    set
        entity_type = excluded.entity_type,
        key_columns = excluded.key_columns,
        entity_column = excluded.entity_column,
        scope = excluded.scope,
        scope_column = excluded.scope_column,
        redacted_columns = excluded.redacted_columns,
        column_actions = excluded.column_actions,
        ignored_columns = excluded.ignored_columns;

    -- One an event, since transition tables go with one event each; TRUNCATE has none.
    for v_trigger in
        select *
        from (
            values
            ('audit_insert', 'insert', 'referencing new table as new_rows'),
            ('audit_update', 'update', 'referencing old table as old_rows new table as new_rows'),
            ('audit_delete', 'delete', 'referencing old table as old_rows'),
            ('audit_truncate', 'truncate', '')
        ) as t (name, event, transition)
    loop
        execute format(
            'create or replace trigger %I after %s on %s %s for each statement execute function limena_private.record_changes()',
            v_trigger.name, v_trigger.event, p_table, v_trigger.transition
        );
    end loop;
end;
$$;

comment on function limena_private.audit_table(regclass, text, text[], text, text, text, text[], jsonb, text[]) is
'Registers a table for auditing and creates its triggers. p_scope: tenant, user or platform, with the column that says which. p_column_actions: [[column, action], …]: what an update is called that sets the column, the first that fits. p_ignored_columns: not recorded. Raises 55000 when a column that looks like a secret is not redacted.';
