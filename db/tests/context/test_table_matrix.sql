-- The matrix below HTTP: each table × each role and key × each command, own tenant and another's, against one list of
-- who may do what. A new table, policy or grant fails here until the list says so. Fails without any of the policies.
begin;
select plan(9);

select tests.make_tenants();
select
    tests.make_api_key(
        p_tenant => t.name, p_name => 'everything', p_scopes => array(select p.name from limena.permissions as p)
    )
from (values ('a'), ('b')) as t (name);
select tests.make_api_key(p_tenant => 'a', p_name => 'nothing', p_scopes => '{no:such}');
select tests.make_integration(p_tenant => t.name)
from (values ('a'), ('b')) as t (name);
insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
select
    tests.tenant_id(t.name),
    'x@x.example',
    'viewer',
    sha256(t.name::bytea),
    tests.user_id(t.name, 'owner')
from (values ('a'), ('b')) as t (name);

-- What limena_app may do, all of it: with one of these permissions; `inside`: whoever is in the tenant; `oneself`: a
-- session, of its person's own rows. What is not here, nobody may.
create temporary table rules (relation text, command text, permissions text[]);
insert into rules
values
('ai_quota_months', 'select', '{ai:read}'),
('ai_quotas', 'select', '{ai:read}'),
('ai_reservations', 'select', '{ai:read}'),
('ai_settings', 'select', '{ai:read}'),
('ai_usage_days', 'select', '{ai:read}'),
('ai_usage_logs', 'select', '{ai:read}'),
('api_key_uses', 'select', '{api_keys:read}'),
('api_keys', 'insert', '{api_keys:write}'),
('api_keys', 'select', '{api_keys:read, api_keys:write}'),
('audit_logs', 'select', '{audit:read}'),
('audit_seals', 'select', '{audit:read}'),
('integration_credentials', 'select', '{integrations:read, integrations:write}'),
('integrations', 'select', '{integrations:read, integrations:write}'),
('invitations', 'insert', '{invitations:write}'),
('invitations', 'select', '{invitations:read, invitations:write}'),
('invitations', 'update', '{invitations:write}'),
('memberships', 'select', '{members:read}'),
('session_uses', 'select', '{oneself}'),
('sessions', 'select', '{oneself}'),
('tenants', 'select', '{inside}');
grant select on rules to public;

-- The policies say the same.
select results_eq(
    $q$select tests.lines($$
        select concat_ws(' ', c.relname, p.command, (
            select string_agg(distinct f.found[1], ', ' order by f.found[1])
            from regexp_matches(p.expression, '([a-z_]+:[a-z_]+)', 'g') as f (found)
        ), case
            when p.expression ~ 'current_tenant_id' then 'inside' when p.expression ~ 'current_session_user_id' then 'oneself'
        end)
        from pg_class as c
        inner join (
            select
                o.polrelid,
                case o.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' end
                as command,
                concat(pg_get_expr(o.polqual, o.polrelid), pg_get_expr(o.polwithcheck, o.polrelid)) as expression
            from pg_policy as o
            where 'limena_app'::regrole = any(o.polroles)
        ) as p on c.oid = p.polrelid
        where c.relnamespace = 'limena'::regnamespace
    $$)$q$,
    $q$select tests.lines($$
        select concat_ws(' ', r.relation, r.command, array_to_string(r.permissions, ', ')) from rules as r
    $$)$q$,
    'each policy of limena_app asks for these permissions, and there is no other'
);

-- Each statement, as each actor. A grant that is missing is 42501, a policy that hides is 0 rows.
create temporary table attempts (relation text, command text, is_other boolean, statement text);
insert into attempts
select
    c.relname,
    s.command,
    o.is_other,
    case s.command
        when 'select' then format('select from limena.%I as t', c.relname)
        when 'delete' then format('delete from limena.%I as t', c.relname)
        when 'update' then format('update limena.%I as t set %2$I = %2$I', c.relname, k.name)
    end
    || format(
        ' where t.%I %s any (%L)',
        case when t.attname is not null then 'tenant_id' when c.relname = 'tenants' then 'id' else 'user_id' end,
        '=',
        case
            when t.attname is not null or c.relname = 'tenants'
                then array[tests.tenant_id(o.tenant)]
            else
                array(
                    select tests.user_id(o.tenant, r.role)
                    from unnest(enum_range(null::limena.member_role)::text[]) as r (role)
                )
        end
    )
from pg_class as c
left join pg_attribute as t on c.oid = t.attrelid and t.attname = 'tenant_id' and not t.attisdropped
cross join (values ('select'), ('update'), ('delete')) as s (command)
cross join (values (false, 'a'), (true, 'b')) as o (is_other, tenant)
cross join
    lateral (
        -- A column that may be changed, where there is one.
        select a.attname as name
        from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        order by has_column_privilege('limena_app', c.oid, a.attnum, 'update') desc, a.attnum
        limit 1
    ) as k
where
    c.relnamespace = 'limena'::regnamespace
    and c.relkind in ('r', 'p')
    and not c.relispartition
    and c.relname not in ('permissions', 'role_permissions')
    and exists (
        select from pg_attribute as a
        where
            a.attrelid = c.oid
            and (a.attname in ('tenant_id', 'user_id') or c.relname = 'tenants')
            and not a.attisdropped
    );
grant select on attempts to public;
create temporary table has_rows as
select a.relation from attempts as a
where a.command = 'select' and not a.is_other and tests.outcome(a.statement) <> '0';
grant select on has_rows to public;
select cmp_ok((select count(*) from has_rows), '>=', 9::bigint, 'there are rows to see');

create temporary table outcomes (actor text, relation text, command text, is_other boolean, outcome text);
grant insert, select on outcomes to public;
create function pg_temp.may(p_actor text, p_permissions text[])
returns boolean
language sql
stable
as $$
select
    p_permissions = '{inside}' and p_actor <> 'nobody'
    or p_permissions = '{oneself}' and p_actor in ('viewer', 'member', 'admin', 'owner')
    or exists (
        select from limena.permission_matrix as m
        where m.permission = any(p_permissions) and m.role = case p_actor when 'everything' then 'owner' else p_actor end
    )
$$;
create function pg_temp.try_all()
returns void
language plpgsql
as $$
declare
    v_actor text;
begin
    foreach v_actor in array array['nobody', 'viewer', 'member', 'admin', 'owner', 'everything', 'nothing'] loop
        insert into outcomes
        select v_actor, t.relation, t.command, t.is_other, split_part(tests.outcomes(t.statement, array[v_actor]), ' ', 2)
        from attempts as t;
    end loop;
end;
$$;
set local role limena_app;
select lives_ok('select pg_temp.try_all()', 'each table, each command, each actor');
reset role;
select cmp_ok((select count(*) from outcomes), '>=', 7 * 3 * 2 * 15::bigint, 'all of them');

select is_empty(
    $$select o.actor, o.relation, o.command, o.outcome
    from outcomes as o
    where o.is_other and o.outcome not in ('0', '42501')$$,
    'nobody reaches a row of another tenant, by no command'
);
select is_empty(
    $$select o.actor, o.relation, o.command, o.outcome
    from outcomes as o
    where o.actor in ('nobody', 'nothing')
        and o.outcome not in ('0', '42501')
        and not (o.actor = 'nothing' and o.relation = 'tenants' and o.command = 'select')$$,
    'without a context, or a permission, there is nothing: but a key knows where it is'
);
select is_empty(
    $$select o.actor, o.relation, o.command, o.outcome
    from outcomes as o
    left join rules as r on o.relation = r.relation and o.command = r.command
    where not o.is_other
        and o.outcome not in ('0', '42501')
        and not coalesce(pg_temp.may(o.actor, r.permissions), false)$$,
    'whoever reached a row had a permission for it'
);
select is_empty(
    $$select o.actor, o.relation, o.command, o.outcome
    from outcomes as o
    inner join rules as r on o.relation = r.relation and o.command = r.command
    inner join has_rows as h on o.relation = h.relation
    where not o.is_other
        and pg_temp.may(o.actor, r.permissions)
        and o.outcome in ('0', '42501')$$,
    'and whoever has one reaches them'
);
select is_empty(
    $$select o.actor, o.relation, o.command, o.outcome
    from outcomes as o
    where not exists (select from rules as r where r.relation = o.relation and r.command = o.command)
        and o.outcome <> '42501'$$,
    'what is not on the list is not granted to begin with'
);

select * from finish();
rollback;
