-- Attack: a function with the owner's rights that does what nobody thought of, and a LOGIN role that got hold of those
-- rights. FORCE ROW LEVEL SECURITY binds limena_owner to the policies that name it: what none of them allows does not
-- happen. It would work without FORCE on a table, or with a policy for limena_owner that is wider than what its
-- functions need.
-- Known limit: limena_owner owns the tables. Who can run DDL as it can take protection off; a deploy is such a one.
begin;
select plan(9);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
values (tests.tenant_id('b'), 'guest@b.example', 'member', sha256('x'), tests.user_id('b', 'owner'));
insert into limena.refresh_tokens (session_id, user_id, token_hash)
values (tests.id('session', 'b owner'), tests.user_id('b', 'owner'), sha256('x'));
-- Something to lose in each table and partition.
select isnt(tests.outcome('select from limena.audit_logs'), '0', 'there is a log');

-- The commands for which a table has no policy of limena_owner's: they come to nothing, on each table and each
-- partition.
create temporary table forbidden as
select
    c.relname::text as relation,
    w.command,
    w.statement
from pg_class as c
cross join
    lateral (
        values
        ('r', format('select from limena.%I', c.relname)),
        ('d', format('delete from limena.%I', c.relname)),
        ('w', (
            select format('update limena.%1$I set %2$I = %2$I', c.relname, a.attname)
            from pg_attribute as a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            order by a.attnum
            limit 1
        ))
    ) as w (command, statement)
where
    c.relnamespace = 'limena'::regnamespace
    and c.relkind in ('r', 'p')
    and c.relname not in ('permissions', 'role_permissions')
    and not exists (
        select from pg_policy as p
        where p.polrelid = c.oid and 'limena_owner'::regrole = any(p.polroles) and p.polcmd::text in (w.command, '*')
    );
grant select on forbidden to public;

select is(
    array(
        select c.relname::text
        from pg_class as c
        where
            c.relnamespace = 'limena'::regnamespace
            and c.relkind in ('r', 'p')
            and c.relname not in ('permissions', 'role_permissions')
            and c.relname not in (select f.relation from forbidden as f)
        order by c.relname
    ),
    '{ai_quota_months,ai_quotas,ai_reservations,ai_settings,ai_usage_days,ai_usage_logs,api_key_rates,'
    'api_key_uses,api_keys,integration_credentials,integration_flows,integrations,invitations,log_in_failures,'
    'memberships,outbox,password_resets,registrations,sessions}',
    'each table forbids limena_owner something, but for those that prune() and erase_tenant() clear'
);
set local role limena_owner;
select is(
    array(
        select f.statement || ': ' || tests.outcome(f.statement)
        from forbidden as f
        where tests.outcome(f.statement) <> '0'
    ),
    '{}',
    'what no policy allows limena_owner meets no row'
);
select is(
    tests.outcome('delete from limena.audit_logs'), '0',
    'not even limena_owner deletes from the log what is younger than 30 days'
);
select is(tests.outcome('update limena.audit_logs set action = ''x.x'''), '0', 'or changes it');
select is(
    tests.outcome(
        $$insert into limena.sessions (user_id, secret_hash, ended_at) values (tests.user_id('b', 'owner'), sha256('y'), now())$$  -- noqa: LT05
    ) in ('1', '42501'), true, 'an INSERT is what log_in needs'
);
reset role;

-- Every policy for limena_owner is one on a list: a wider one is noticed.
select is(
    array(
        select p.polname::text
        from pg_policy as p
        where 'limena_owner'::regrole = any(p.polroles) and (p.polcmd in ('*', 'd') or cardinality(p.polroles) > 1)
        order by p.polname
    ),
    '{ai_quota_months_delete_owner,ai_quotas_delete_owner,ai_reservations_delete_owner,ai_settings_delete_owner,ai_usage_days_delete_owner,ai_usage_logs_delete_owner,api_key_rates_delete_owner,api_key_uses_delete_owner,api_keys_delete_owner,audit_logs_delete_owner,integration_credentials_delete_owner,integration_flows_delete_owner,integrations_delete_owner,invitations_delete_owner,log_in_failures_delete_owner,memberships_delete_owner,outbox_delete_owner,password_resets_delete_owner,registrations_delete_owner,sessions_delete_owner}',  -- noqa: LT05
    'no policy lets limena_owner do everything, and none delete, but where prune(), remove_member(), erase_tenant() do'
);
select is(
    array(
        select p.polname::text
        from pg_policy as p
        where
            0 = any(p.polroles) or not p.polpermissive
            or exists (
                select from unnest(p.polroles) as r (oid)
                where
                    r.oid not in (
                        'limena_owner'::regrole,
                        'limena_app'::regrole,
                        'limena_readonly'::regrole,
                        'limena_maintenance'::regrole
                    )
            )
    ),
    '{}',
    'no policy is for PUBLIC or for a stranger'
);
-- Each policy of limena_app says which tenant, in every part of it.
select is(
    array(
        select p.polname::text
        from pg_policy as p
        where
            'limena_app'::regrole = any(p.polroles)
            and (
                (
                    p.polqual is not null
                    and pg_get_expr(p.polqual, p.polrelid)
                    !~ '(tenant_with|tenant_even_frozen|current_tenant_id|current_session_user_id|holds)\('
                )
                or (
                    p.polwithcheck is not null
                    and pg_get_expr(p.polwithcheck, p.polrelid)
                    !~ '(tenant_with|tenant_even_frozen|current_tenant_id|current_session_user_id|holds)\('
                )
                or (p.polcmd in ('r', 'd', 'w', '*') and p.polqual is null)
                or (p.polcmd in ('a', 'w', '*') and p.polwithcheck is null)
            )
    ),
    '{}',
    'every policy of limena_app asks for the tenant, or for the person whose own it is, in USING and in WITH CHECK'
);

select * from finish();
rollback;
