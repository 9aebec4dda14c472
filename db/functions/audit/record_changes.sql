-- The trigger function behind every audited table: one row in audit_logs for each row that a statement changed, in the
-- same transaction.
--
-- What an attacker would try: attach it to a table of their own to write what they like (refused: the relation must be
-- registered, and only limena_owner registers); write in another's name, or in nobody's, by changing the context while
-- the statement runs (refused below: someone with two credentials in the same tenant can still choose which of them is
-- named); change how values are written by setting TimeZone and the like (pinned below: to_jsonb follows them); have
-- the rows shown, hashes too, as constants of a plan (debug_print_plan is off here).
--
-- It is planned once a session: planning it for the values of each statement, which PostgreSQL would take for cheaper,
-- more than doubles what a single change costs.
--
-- SECURITY DEFINER because no role of the API may insert into audit_logs.
create or replace function limena_private.record_changes()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set bytea_output = 'hex'
set intervalstyle = 'iso_8601'
set extra_float_digits = 1
set debug_print_plan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_table limena_private.audited_tables;
    v_context jsonb := limena_private.verified_context()::jsonb;
    v_behalf_id uuid;
    v_behalf_label text;
    v_platform_id uuid := limena_private.platform_tenant_id();
    v_tenant_ids uuid[];  -- of changes to a person, beside v_old and v_new; else empty, and unnest() gives NULL
    v_old jsonb[];
    v_new jsonb[];
    v_erased uuid[] := '{}';
    v_caller name := coalesce(nullif(current_setting('role'), 'none'), session_user);
begin
    select t.* into v_table from limena_private.audited_tables as t where t.relation = tg_relid;
    if not found then
        raise exception 'limena_private.record_changes() is on a table that is not registered with it' using errcode = '55000';
    end if;

    case tg_op
        when 'INSERT' then
            select array_agg(null::jsonb), array_agg(to_jsonb(n.*)) into v_old, v_new from new_rows as n;
        when 'DELETE' then
            select array_agg(to_jsonb(o.*)), array_agg(null::jsonb) into v_old, v_new from old_rows as o;
        when 'UPDATE' then
            -- A row whose key changed has no partner: it shows as one that went and one that came.
            select array_agg(o.item), array_agg(n.item) into v_old, v_new
            from (
                select to_jsonb(r.*) as item, array(select to_jsonb(r.*) ->> k.name from unnest(v_table.key_columns) as k (name)) as key
                from old_rows as r
            ) as o
            full join (
                select to_jsonb(r.*) as item, array(select to_jsonb(r.*) ->> k.name from unnest(v_table.key_columns) as k (name)) as key
                from new_rows as r
            ) as n on o.key = n.key;
        when 'TRUNCATE' then
            perform limena_private.record_event(
                p_tenant_id => null,
                p_action => v_table.entity_type || '.truncated',
                p_entity_type => v_table.entity_type
            );
    end case;
    if v_old is null then
        return null;
    end if;

    -- limena_app changes rows of a tenant in the context of that tenant, or the context is not the one in which the
    -- statement began.
    if pg_has_role(v_caller, 'limena_app', 'MEMBER')
        and (current_setting('is_superuser') = 'off' or not (select r.rolsuper from pg_roles as r where r.rolname = v_caller))
        and (
            v_context is null
            or v_table.scope = 'tenant' and exists (
                select from unnest(v_old || v_new) as c (item)
                where c.item ->> v_table.scope_column <> coalesce(v_context ->> 'tenant_id', '')
            )
        ) then
        raise exception 'the tenant context was changed while a statement ran' using errcode = '42501';
    end if;

    -- A tenant's row is for that tenant, a person's for each of the person's tenants, all else for the platform.
    if v_table.scope = 'user' then
        select array_agg(m.tenant_id), array_agg(c.old), array_agg(c.new) into v_tenant_ids, v_old, v_new
        from unnest(v_old, v_new) as c (old, new)
        left join limena.memberships as m on m.user_id = (coalesce(c.new, c.old) ->> v_table.scope_column)::uuid;
    end if;
    -- Erasing a tenant does not copy what it erases into the log: no value of a tenant that is deleted is written.
    if v_table.scope = 'tenant' and (tg_op = 'DELETE' or tg_relid = 'limena.tenants'::regclass) then
        v_erased := array(
            select t.id from limena.tenants as t
            where t.state = 'deleted'
                and t.id in (select (o.item ->> v_table.scope_column)::uuid from unnest(v_old) as o (item))
        );
    end if;

    if v_context ->> 'actor_type' = 'api_key' then
        select u.id, u.email into v_behalf_id, v_behalf_label from limena.users as u where u.id = (v_context ->> 'user_id')::uuid;
    end if;
    perform pg_current_xact_id();  -- before seq is drawn: what seals the log later relies on this order
    insert into limena.audit_logs (
        tenant_id, occurred_at, seq, id, action, actor_type, actor_id, actor_label, on_behalf_of_id, on_behalf_of_label,
        entity_type, entity_id, changes, request_id, ip, user_agent
    )
    select
        case v_table.scope
            when 'tenant' then (coalesce(c.new, c.old) ->> v_table.scope_column)::uuid
            else coalesce(c.tenant_id, v_platform_id)
        end,
        clock_timestamp(),
        nextval('limena.audit_logs_seq_seq'),
        gen_random_uuid(),
        case
            when c.old is null then v_table.entity_type || '.created'
            when c.new is null then v_table.entity_type || '.deleted'
            else coalesce(
                (
                    -- A change that means something of its own, such as a revocation, has a name of its own.
                    select n.pair ->> 1
                    from jsonb_array_elements(v_table.column_actions) with ordinality as n (pair, place)
                    where d.changes -> (n.pair ->> 0) -> 1 <> 'null'
                    order by n.place
                    limit 1
                ),
                v_table.entity_type || '.updated'
            )
        end,
        coalesce(v_context ->> 'actor_type', 'system'),
        (v_context ->> 'actor_id')::uuid,
        coalesce(v_context ->> 'actor_label', session_user::text),
        v_behalf_id,
        v_behalf_label,
        v_table.entity_type,
        coalesce(c.new, c.old) ->> v_table.entity_column,
        d.changes,
        v_context ->> 'request_id',
        (v_context ->> 'ip')::inet,
        v_context ->> 'user_agent'
    from unnest(v_tenant_ids, v_old, v_new) as c (tenant_id, old, new)
    cross join lateral (
        select jsonb_object_agg(
            k.name,
            case
                when k.name = any (v_table.redacted_columns)
                    or k.name <> 'state' and (c.old ->> v_table.scope_column)::uuid = any (v_erased) then jsonb_build_array(
                    case when c.old -> k.name <> 'null' then '[redacted]' end, case when c.new -> k.name <> 'null' then '[redacted]' end
                )
                else jsonb_build_array(c.old -> k.name, c.new -> k.name)
            end
        ) as changes
        from jsonb_object_keys(coalesce(c.new, c.old)) as k (name)
        where k.name <> all (v_table.ignored_columns)
            and coalesce(c.old -> k.name, 'null') <> coalesce(c.new -> k.name, 'null')
    ) as d
    where d.changes is not null;
    return null;
end;
$$;

comment on function limena_private.record_changes() is
'Trigger function: writes one row to audit_logs for each row that the statement changed. Raises 55000 on a table that audit_table() has not registered.';
