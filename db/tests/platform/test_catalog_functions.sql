-- The catalogs, searched for the function that somebody forgets next year: what each is, who may call it. Independent
-- of limena.self_check(), which a deploy runs.
begin;
select plan(20);

-- Who may call what; D is SECURITY DEFINER. Whoever adds a function comes by here.
select results_eq(
    $q$select tests.lines($$select format(
        '%s.%s %s%s', n.nspname, p.proname, case when p.prosecdef then 'D ' end,
        coalesce(
            (
                select string_agg(coalesce(r.rolname, 'public'), ' ' order by r.rolname)
                from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as x
                left join pg_roles as r on x.grantee = r.oid
                where x.grantee <> p.proowner
            ),
            '-'
        )
    )
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
    where n.nspname in ('limena', 'limena_private')$$)$q$,
    array[
        'limena.accept_invitation D limena_auth',
        'limena.administer_tenant D limena_auth',
        'limena.ai_calls_at limena_app limena_readonly',
        'limena.ai_clock limena_app limena_readonly',
        'limena.ai_notices limena_app',
        'limena.ai_trip_notice limena_app',
        'limena.announcements D limena_app limena_readonly',
        'limena.apply_retention D limena_maintenance',
        'limena.begin_ai_usage_export limena_app',
        'limena.begin_audit_export limena_app',
        'limena.begin_integration_flow D limena_app',
        'limena.begin_log_in D limena_auth',
        'limena.change_member_role D limena_app',
        'limena.change_password D limena_auth',
        'limena.check_ai_quotas D limena_maintenance',
        'limena.check_audit_log D limena_maintenance',
        'limena.claim_mail D limena_maintenance',
        'limena.close_access D limena_readonly',
        'limena.connect_integration D limena_app',
        'limena.count_api_key_call D limena_app',
        'limena.covered_from D limena_readonly',
        'limena.covered_people D limena_readonly',
        'limena.covered_tenant_id D limena_readonly',
        'limena.covered_to D limena_readonly',
        'limena.covers_all D limena_readonly',
        'limena.create_api_key limena_app',
        'limena.create_invitation limena_app',
        'limena.credential_key_versions D limena_maintenance',
        'limena.csv_text limena_app limena_readonly',
        'limena.current_context D limena_app',
        'limena.current_permissions D limena_app',
        'limena.current_session_id D limena_app',
        'limena.current_session_user_id D limena_app',
        'limena.current_tenant_id D limena_app',
        'limena.current_user_id D limena_app',
        'limena.cursor_key limena_app',
        'limena.cursor_of limena_app',
        'limena.cursor_time limena_app',
        'limena.delete_tenant D limena_app',
        'limena.deployed_digest D limena_app limena_maintenance',
        'limena.describe_ai_quota limena_app',
        'limena.describe_tenant limena_app',
        'limena.disconnect_integration D limena_app',
        'limena.drop_ai_usage D limena_maintenance',
        'limena.due_ai_quotas D limena_maintenance',
        'limena.end_session D limena_app',
        'limena.ensure_partitions D limena_maintenance',
        'limena.enter_api_key D limena_app',
        'limena.enter_session D limena_app',
        'limena.erase_tenants D limena_maintenance',
        'limena.expire_reservations D limena_maintenance',
        'limena.export_ai_usage D limena_app',
        'limena.export_audit_logs D limena_app',
        'limena.exported_tenant_id D limena_app limena_readonly',
        'limena.find_invitation D limena_auth',
        'limena.find_password D limena_auth',
        'limena.find_password_reset D limena_auth',
        'limena.find_people D limena_app',
        'limena.find_registration D limena_auth',
        'limena.get_ai_quota limena_app',
        'limena.get_audit_verification D limena_app',
        'limena.get_me limena_app',
        'limena.get_tenant limena_app',
        'limena.has_permission D limena_app',
        'limena.holds D limena_app',
        'limena.is_platform_admin D limena_app',
        'limena.is_withheld D limena_app',
        'limena.list_ai_usage limena_app',
        'limena.list_api_keys limena_app',
        'limena.list_audit_logs limena_app',
        'limena.list_invitations limena_app',
        'limena.list_members limena_app',
        'limena.list_permissions limena_app',
        'limena.list_sessions limena_app',
        'limena.list_tenant_usage limena_readonly',
        'limena.list_tenants D limena_app',
        'limena.log_in D limena_auth',
        'limena.log_out D limena_app',
        'limena.log_out_all D limena_app',
        'limena.mail_invitation D limena_app',
        'limena.notices limena_app',
        'limena.open_access D limena_readonly',
        'limena.open_access_as D limena_readonly',
        'limena.page_limit limena_app limena_readonly',
        'limena.prepare_integration D limena_app',
        'limena.promote_user -',
        'limena.prune D limena_maintenance',
        'limena.read_integrations D limena_app',
        'limena.record_denial D limena_app',
        'limena.record_failed_log_in D limena_auth',
        'limena.record_integration_failure D limena_app',
        'limena.record_master_key_rotation D limena_maintenance',
        'limena.record_revocation D limena_app',
        'limena.recount_ai_quota D limena_maintenance',
        'limena.refresh_session D limena_auth',
        'limena.register_user D limena_auth',
        'limena.rehash_password D limena_auth',
        'limena.release_ai_call D limena_app',
        'limena.remove_member D limena_app',
        'limena.request_password_reset D limena_auth',
        'limena.request_registration D limena_auth',
        'limena.require limena_app',
        'limena.require_even_frozen limena_app',
        'limena.reseal_credentials D limena_maintenance',
        'limena.reserve_ai_call D limena_app',
        'limena.reset_ai_quota D limena_app',
        'limena.reset_password D limena_auth',
        'limena.restore_tenant D limena_app',
        'limena.resume_access D limena_readonly',
        'limena.retire_api_key D limena_app',
        'limena.revoke_all_api_keys D limena_app',
        'limena.revoke_api_key D limena_app',
        'limena.rotate_api_key limena_app',
        'limena.seal_audit_log D limena_maintenance',
        'limena.sealed_tenants D limena_maintenance',
        'limena.self_check D limena_maintenance',
        'limena.set_audit_retention D limena_app',
        'limena.settle_ai_call D limena_app',
        'limena.settle_mail D limena_maintenance',
        'limena.settle_refresh D limena_auth',
        'limena.stale_credentials D limena_maintenance',
        'limena.switch_tenant D limena_app',
        'limena.take_back_log_in D limena_auth',
        'limena.take_integration_flow D limena_app',
        'limena.tenant_even_frozen D limena_app',
        'limena.tenant_notices limena_app',
        'limena.tenant_with D limena_app',
        'limena.transfer_ownership D limena_app',
        'limena.update_ai_settings D limena_app',
        'limena.update_tenant D limena_app',
        'limena.use_integration D limena_app',
        'limena.verify_audit_log D limena_maintenance',
        'limena.verify_audit_segments D limena_maintenance',
        'limena.verify_registration D limena_auth',
        'limena.withdraw_invitation limena_app',
        'limena_private.administer_ai -',
        'limena_private.admit_api_key D -',
        'limena_private.ai_answer -',
        'limena_private.ai_refusal -',
        'limena_private.ai_room_at -',
        'limena_private.audit_table -',
        'limena_private.change_ai_settings -',
        'limena_private.close_ai_reservation -',
        'limena_private.current_access -',
        'limena_private.declare_access -',
        'limena_private.destroy_tenant_salt -',
        'limena_private.end_ai_trip -',
        'limena_private.end_api_keys -',
        'limena_private.erase_tenant -',
        'limena_private.expire_ai_reservations -',
        'limena_private.freeze_tenant -',
        'limena_private.is_mailbox_full -',
        'limena_private.is_reason -',
        'limena_private.lock_ai_quota -',
        'limena_private.lock_own_tenant -',
        'limena_private.lock_tenant -',
        'limena_private.log_in_subjects -',
        'limena_private.mail_owners -',
        'limena_private.new_ticket -',
        'limena_private.open_invitation -',
        'limena_private.own_ai_reservation -',
        'limena_private.platform_tenant_id -',
        'limena_private.prove_again -',
        'limena_private.record_ai_usage -',
        'limena_private.record_changes D -',
        'limena_private.record_event -',
        'limena_private.record_user_event -',
        'limena_private.require_role -',
        'limena_private.retried_ai_reservation -',
        'limena_private.revoke_api_keys -',
        'limena_private.save_ai_quota -',
        'limena_private.seal -',
        'limena_private.seal_again -',
        'limena_private.seal_context -',
        'limena_private.seal_digest -',
        'limena_private.seal_for_platform -',
        'limena_private.seal_for_system -',
        'limena_private.seal_operator -',
        'limena_private.seal_unauthenticated -',
        'limena_private.set_membership -',
        'limena_private.summed_model -',
        'limena_private.take_back_attempt -',
        'limena_private.tenant_salt -',
        'limena_private.trip_ai_quota -',
        'limena_private.unfreeze_tenant -',
        'limena_private.verified_context -',
        'limena_private.verify_audit_seals -',
        'limena_private.warn_ai_quota -'
    ],
    'exactly these functions, for exactly these roles'
);
select is_empty(
    $$select p.oid::regprocedure
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.proowner <> 'limena_owner'::regrole$$,
    'limena_owner owns each of them'
);
select is_empty(
    $$select p.oid::regprocedure
    from pg_proc as p
    where p.proowner = 'limena_owner'::regrole
        and p.pronamespace not in ('limena'::regnamespace, 'limena_private'::regnamespace)$$,
    'and none elsewhere'
);
select is_empty(
    $$select d.defaclrole::regrole, d.defaclobjtype, x.grantee
    from pg_default_acl as d
    cross join lateral aclexplode(d.defaclacl) as x
    where x.grantee <> d.defaclrole and d.defaclrole::regrole::text ~ '^limena_'$$,
    'what limena_owner will make is granted to nobody'
);
set local role limena_owner;
create function limena.made_later() returns void language plpgsql as 'begin end';
reset role;
select is(
    (
        select array_agg(distinct has_function_privilege(r.oid, 'limena.made_later()', 'execute'))
        from pg_roles as r
        where r.rolname in ('limena_app', 'limena_auth', 'limena_readonly', 'limena_maintenance')
    ),
    '{f}', 'not to PUBLIC either: deny first'
);
drop function limena.made_later();

-- What each is.
select is_empty(
    $$select p.oid::regprocedure, p.proconfig
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.prosecdef
        and not coalesce('search_path=pg_catalog, pg_temp' = any(p.proconfig), false)$$,
    'each SECURITY DEFINER function has search_path = pg_catalog, pg_temp'
);
select results_eq(
    $q$select tests.lines($$select p.proname::text
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and not coalesce('search_path=pg_catalog, pg_temp' = any(p.proconfig), false)$$)$q$,
    array['ai_clock', 'csv_text', 'platform_tenant_id', 'seal', 'verified_context'],
    'and so has every other, but for five in which each name is qualified'
);
select is_empty(
    $$select p.oid::regprocedure
    from pg_proc as p
    inner join pg_language as l on p.prolang = l.oid
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and (l.lanname not in ('plpgsql', 'sql') or p.prokind <> 'f' or p.proleakproof or p.proisstrict)$$,
    'functions in SQL and PL/pgSQL; none claims to be leakproof'
);
select is_empty(
    $$select p.oid::regprocedure
    from pg_proc as p
    inner join pg_language as l on p.prolang = l.oid
    where p.pronamespace = 'limena'::regnamespace and l.lanname = 'sql' and p.proname not in ('ai_clock', 'csv_text')$$,
    'a procedure is never inlined: nothing of it runs before the context is sealed'
);
select is_empty(
    $$select p.oid::regprocedure
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.provolatile = 'i'
        and p.proname not in (
            'ai_calls_at', 'csv_text', 'cursor_key', 'cursor_of', 'cursor_time', 'page_limit', 'platform_tenant_id', 'seal_digest'
        )$$,
    'none that reads anything is IMMUTABLE'
);
select is_empty(
    $$select p.oid::regprocedure, p.provolatile, p.proparallel
    from pg_proc as p
    where p.proname in (
            'current_context',
            'current_permissions',
            'current_tenant_id',
            'current_user_id',
            'has_permission',
            'holds',
            'is_platform_admin',
            'is_withheld',
            'require',
            'require_even_frozen',
            'tenant_even_frozen',
            'tenant_with', 'verified_context', 'seal', 'find_people', 'current_access', 'covered_tenant_id', 'covers_all',
            'covered_from', 'covered_to', 'covered_people'
        )
        and p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and (p.provolatile <> 's' or p.proparallel <> 'r')$$,
    'what reads the context is STABLE and PARALLEL RESTRICTED'
);
select is_empty(
    $$select p.oid::regprocedure
    from pg_proc as p
    where p.proname like 'enter\_%'
        and p.pronamespace = 'limena'::regnamespace
        and (p.provolatile <> 'v' or p.proparallel <> 'u' or not p.prosecdef)$$,
    'what enters one is VOLATILE, and runs in no worker'
);
select is_empty(
    $$select p.oid::regprocedure, g.name
    from pg_proc as p
    cross join lateral unnest(p.proargnames[1 : p.pronargs]) as g (name)
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace) and g.name !~ '^p_[a-z_]+$'
    union all
    select p.oid::regprocedure, null
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.pronargs > 0
        and p.proargnames is null$$,
    'every parameter has a name, p_…: calls are by name'
);
select is_empty(
    $$select p.pronamespace::regnamespace, p.proname
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
    group by p.pronamespace, p.proname
    having count(*) > 1$$,
    'no two share a name'
);
select is_empty(
    $$select p.oid::regprocedure
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and obj_description(p.oid, 'pg_proc') is null$$,
    'each has a comment'
);
select is_empty(
    $$select p.oid::regprocedure, e.what
    from pg_proc as p
    cross join lateral regexp_matches(regexp_replace(p.prosrc, '--[^\n]*', '', 'g'), '\mexecute\s+(?!function)(\S+)', 'gi') as e (what)
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and e.what[1] !~ '^format\('
        and p.proname <> 'self_check'$$,
    'dynamic SQL is format(), each time; self_check() only names it'
);
select results_eq(
    $q$select tests.lines($$select p.proname::text
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.prosrc ~* '\mexecute\s+format\(' and p.prosrc ~ '%(\d\$)?-?\d*s'$$)$q$,
    array['audit_table'],
    'with %I and %L, but for audit_table(), which nobody may call and which is told a relation'
);
select is_empty(
    $$select p.oid::regprocedure, t.typname
    from pg_proc as p
    cross join lateral unnest(p.proargtypes::oid[]) as a (type)
    inner join pg_type as t on a.type = t.oid
    left join pg_type as e on t.typelem = e.oid
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and (p.prosecdef or exists (select from aclexplode(p.proacl) as x where x.grantee <> p.proowner))
        and (
            coalesce(nullif(e.typname, '-'), t.typname) ~ '^reg'
            or t.typname in ('name', 'char', 'oid', 'tid', 'xid', 'xml', 'refcursor')
            or t.typtype = 'p'
        )$$,
    'what is granted, or runs as the owner, takes the name of no object, and nothing of a type that its caller chooses'
);

-- The types are nobody's to trip over.
select results_eq(
    $q$select tests.lines($$select t.typname
    from pg_type as t
    where t.typnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and t.typtype in ('e', 'd', 'r', 'm')$$)$q$,
    array['member_role'], 'one type of our own'
);
select is_empty(
    $$select o.oid from pg_operator as o
    where o.oprnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
    union all
    select c.oid
    from pg_cast as c
    inner join pg_proc as p on c.castfunc = p.oid and p.proowner = 'limena_owner'::regrole
    union all
    select e.oid from pg_event_trigger as e where e.evtowner = 'limena_owner'::regrole$$,
    'no operator, no cast, no event trigger'
);

select * from finish();
rollback;
