-- Calls every procedure that a role of ours may call and that could change something, and demands its rows in the log;
-- of those that leave none, that they leave none. Whoever adds a procedure adds a line. (HTTP, route by route:
-- api/tests/test_every_change_is_recorded.py.)
begin;
select plan(2);

select tests.seal();
select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_integration(p_tenant => 'a', p_fields => '{secret}');
select tests.make_integration(
    p_tenant => 'a',
    p_provider => 'oidc',
    p_fields => '{access_token, refresh_token}',
    p_expires_at => now() - interval '1 hour'
);
update limena.users set is_platform_admin = true
where id = tests.user_id('b', 'owner');
insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
values (
    tests.tenant_id('a'), tests.id('invitation', 'x'), 'x@x.example', 'member', sha256('x'), tests.user_id('a', 'owner')
);
create function pg_temp.password()
returns text
language sql
as $$ select '$2b$04$' || repeat('.', 53) $$;
create function pg_temp.another_password()
returns text
language sql
as $$ select '$2b$04$' || repeat('a', 53) $$;
create function pg_temp.trip_ai()
returns void
language sql
as $$
insert into limena.ai_quotas (tenant_id, as_of, trip_cause, tripped_at, trip_ends_at)
values (tests.tenant_id('a'), now(), 'velocity', now() - interval '1 hour', now() + interval '1 hour')
$$;

create temporary table calls (
    name text primary key, -- noqa: RF04
    role text not null, -- noqa: RF04
    actions text not null default '',  -- what is recorded, each action once
    call text not null,
    prelude text not null default 'select'  -- what a superuser does before it
);
insert into calls (name, role, actions, call, prelude)
values
-- By the owner of a, in the sealed context.
(
    'begin_integration_flow', 'limena_app', 'integration_flow.created',
    $$select limena.begin_integration_flow('oidc', gen_random_uuid(), sha256('state'), 1, tests.ciphertext('x'))$$,
    default
),
(
    'change_member_role', 'limena_app', 'membership.role_changed',
    $$select limena.change_member_role(tests.user_id('a', 'member'), 'viewer')$$,
    default
),
(
    'connect_integration', 'limena_app',
    'integration.connected, integration.created, integration_credential.created',
    $$select limena.connect_integration('openai', gen_random_uuid(), 1, p_secret => tests.ciphertext('x'))$$,
    default
),
(
    'create_api_key', 'limena_app', 'api_key.created',
    $$select limena.create_api_key('new', '{tenant:read}', 'lmn_abcdef', '0000', sha256('new'))$$,
    default
),
(
    'create_invitation', 'limena_app', 'invitation.created',
    $$select limena.create_invitation('y@x.example', 'member', sha256('y'))$$,
    default
),
(
    'delete_tenant', 'limena_app', 'tenant.deletion_requested, tenant.state_changed',
    $$select limena.delete_tenant('Tenant a')$$,
    default
),
(
    'disconnect_integration', 'limena_app', 'integration.disconnected, integration_credential.deleted',
    $$select limena.disconnect_integration('anthropic')$$,
    default
),
(
    'end_session', 'limena_app', 'session.ended',
    $$select limena.end_session(tests.id('session', 'second'))$$,
    $$insert into limena.sessions (id, user_id, secret_hash) values (tests.id('session', 'second'),
        tests.user_id('a', 'owner'), sha256('second'))$$
),
(
    'export_ai_usage', 'limena_app', 'ai_usage.exported',
    'select limena.export_ai_usage()',
    default
),
(
    'export_audit_logs', 'limena_app', 'audit_log.exported',
    'select limena.export_audit_logs()',
    default
),
(
    'log_out', 'limena_app', 'session.ended',
    'select limena.log_out()',
    default
),
(
    'log_out_all', 'limena_app', 'session.ended',
    'select limena.log_out_all()',
    default
),
(
    'mail_invitation', 'limena_app', 'mail.created',
    $$select limena.mail_invitation(tests.id('invitation', 'x'))$$,
    default
),
(
    'record_denial', 'limena_app', 'access.denied',
    $$select tests.enter_with_key('a'), limena.record_denial('tenant:read', 'GET /x')$$,
    default
),
(
    'record_integration_failure', 'limena_app', 'integration.failed',
    $$select limena.record_integration_failure('oidc', 'denied')$$,
    default
),
(
    'record_revocation', 'limena_app', 'integration.revocation_recorded',
    $$select limena.record_revocation(tests.integration_id('a'), '2026-01-01', 'done')$$,
    $$update limena.integrations set disconnected_at = '2026-01-01' where id = tests.integration_id('a')$$
),
(
    'remove_member', 'limena_app', 'membership.deleted',
    $$select limena.remove_member(tests.user_id('a', 'member'))$$,
    default
),
(
    'reset_ai_quota', 'limena_app', 'ai_quota.reset',
    'select limena.reset_ai_quota()',
    'select pg_temp.trip_ai()'
),
(
    'restore_tenant', 'limena_app', 'tenant.restored, tenant.state_changed',
    'select limena.restore_tenant()',
    $$update limena.tenants set state = 'deleting', deletion_due_at = now() + interval '1 day'
        where id = tests.tenant_id('a')$$
),
(
    'retire_api_key', 'limena_app', 'api_key.rotated',
    $$select limena.retire_api_key(tests.api_key_id('a'), tests.api_key_id('a', 'second'), 60)$$,
    $$select tests.make_api_key('a', 'second')$$
),
(
    'revoke_all_api_keys', 'limena_app', 'api_key.revoked',
    'select limena.revoke_all_api_keys()',
    default
),
(
    'revoke_api_key', 'limena_app', 'api_key.revoked',
    $$select limena.revoke_api_key(tests.api_key_id('a'))$$,
    default
),
(
    'rotate_api_key', 'limena_app', 'api_key.created, api_key.rotated',
    $$select limena.rotate_api_key(tests.api_key_id('a'), 'lmn_abcdef', '0000', sha256('next'))$$,
    default
),
(
    'set_audit_retention', 'limena_app', 'tenant.updated',
    'select limena.set_audit_retention(365)',
    default
),
(
    'take_integration_flow', 'limena_app', 'integration_flow.deleted',
    $$select limena.take_integration_flow('oidc', sha256('state'))$$,
    $$insert into limena.integration_flows (tenant_id, id, provider, session_id, user_id, state_hash, key_version,
        ciphertext) values (tests.tenant_id('a'), gen_random_uuid(), 'oidc', tests.id('session', 'a owner'),
        tests.user_id('a', 'owner'), sha256('state'), 1, tests.ciphertext('x'))$$
),
(
    'transfer_ownership', 'limena_app', 'membership.role_changed',
    $$select limena.transfer_ownership(tests.user_id('a', 'admin'))$$,
    default
),
(
    'update_ai_settings', 'limena_app', 'ai_settings.created, ai_settings.updated',
    'select limena.update_ai_settings(p_is_enabled => false)',
    default
),
(
    'update_tenant', 'limena_app', 'tenant.updated',
    $$select limena.update_tenant(p_name => 'Another')$$,
    default
),
(
    'use_integration', 'limena_app', 'integration.refreshing',
    $$select limena.use_integration('oidc')$$,
    default
),
(
    'withdraw_invitation', 'limena_app', 'invitation.withdrawn',
    $$select limena.withdraw_invitation(tests.id('invitation', 'x'))$$,
    default
),
-- Before a tenant is known.
(
    'accept_invitation', 'limena_auth', 'invitation.accepted, membership.created, user.created',
    $$select limena.accept_invitation(sha256('x'), pg_temp.password(), 'New')$$,
    default
),
(
    'administer_tenant', 'limena_auth',
    'platform.tenant_administered, tenant.frozen, tenant.state_changed',
    $$select limena.administer_tenant(tests.session_hash('b', 'owner'), tests.tenant_id('a'), 'freeze',
        'a good reason')$$,
    default
),
(
    'change_password', 'limena_auth', 'user.password_changed',
    $$select limena.change_password(tests.session_hash('a', 'owner'), pg_temp.password(), pg_temp.another_password())$$,
    default
),
(
    'log_in', 'limena_auth', 'refresh_token.created, session.created',
    $$select limena.log_in(tests.user_id('a', 'owner'), pg_temp.password(), sha256('s'), sha256('r'))$$,
    default
),
(
    'record_failed_log_in', 'limena_auth', 'session.login_failed',
    $$select limena.record_failed_log_in('owner@a.example')$$,
    default
),
(
    'refresh_session', 'limena_auth', 'refresh_token.created, refresh_token.spent',
    $$select limena.refresh_session(sha256('first'), sha256('next'))$$,
    $$insert into limena.refresh_tokens (session_id, user_id, token_hash) values (tests.id('session', 'a owner'),
        tests.user_id('a', 'owner'), sha256('first'))$$
),
(
    'register_user', 'limena_auth', 'membership.created, tenant.created, user.created',
    $$select limena.register_user('y@x.example', pg_temp.password(), 'New', 'New tenant')$$,
    default
),
(
    'rehash_password', 'limena_auth', 'user.updated',
    $$select limena.rehash_password(tests.user_id('a', 'owner'), pg_temp.password(), pg_temp.another_password())$$,
    default
),
(
    'request_password_reset', 'limena_auth',
    'mail.created, password_reset.created, user.password_reset_requested',
    $$select limena.request_password_reset('owner@a.example', gen_random_uuid(), sha256('reset'))$$,
    default
),
(
    'request_registration', 'limena_auth', 'mail.created, registration.created',
    $$select limena.request_registration('y@x.example', pg_temp.password(), 'New', 'New tenant', gen_random_uuid(),
        sha256('token'))$$,
    default
),
(
    'reset_password', 'limena_auth',
    'password_reset.used, session.ended, user.password_changed, user.password_reset',
    $$select limena.reset_password(sha256('reset'), pg_temp.another_password())$$,
    $$insert into limena.password_resets (user_id, token_hash) values (tests.user_id('a', 'owner'), sha256('reset'))$$
),
(
    'settle_refresh', 'limena_auth', 'integration_credential.updated',
    $$select limena.settle_refresh(tests.tenant_id('a'), tests.integration_id('a', 'oidc'), '2026-01-01', 1,
        tests.ciphertext('new'), null, 3600)$$,
    $$update limena.integrations set refresh_leased_until = '2026-01-01' where id = tests.integration_id('a', 'oidc')$$
),
(
    'verify_registration', 'limena_auth',
    'membership.created, registration.verified, tenant.created, user.created',
    $$select limena.verify_registration(sha256('token'), null, pg_temp.password())$$,
    $$select limena.request_registration('y@x.example', pg_temp.password(), 'New', 'New tenant', gen_random_uuid(),
        sha256('token'))$$
),
-- Operators.
(
    'open_access', 'limena_readonly', 'operator.all_access_opened, operator_access.created',
    $$select limena.open_access('a good reason')$$,
    default
),
(
    'open_access_as', 'limena_readonly', 'operator.all_access_opened, operator_access.created',
    $$select limena.open_access_as(tests.session_hash('b', 'owner'), 'a good reason')$$,
    default
),
(
    'close_access', 'limena_readonly', 'operator.access_closed',
    'select limena.close_access()',
    $$select limena.open_access('a good reason')$$
),
-- Maintenance.
(
    'apply_retention', 'limena_maintenance', 'audit_log.removed',
    'select limena.apply_retention()',
    $$create table limena.audit_logs_old (like limena.audit_logs including all);
        alter table limena.audit_logs_old owner to limena_owner;
        alter table limena.audit_logs attach partition limena.audit_logs_old for
        values from ('2020-01-01') to ('2020-02-01'); delete from limena.audit_logs
        where tenant_id = tests.tenant_id('a'); insert into limena.audit_logs (tenant_id, occurred_at, seq, id,
        action, actor_type) values (tests.tenant_id('a'), '2020-01-02', nextval('limena.audit_logs_seq_seq'),
        gen_random_uuid(), 'access.denied', 'system'); select tests.seal()$$
),
(
    'drop_ai_usage', 'limena_maintenance', 'ai_usage.removed',
    'select limena.drop_ai_usage(3)',
    $$do $do$
    declare
        v_name name;
    begin
        for i in 1..5 loop
            v_name := 'ai_usage_logs_2020_0' || i;
            execute format('create table limena.%I (like limena.ai_usage_logs including all)', v_name);
            execute format('alter table limena.%I owner to limena_owner', v_name);
            execute format(
                'alter table limena.ai_usage_logs attach partition limena.%I for values from (%L) to (%L)',
                v_name, make_date(2020, i, 1), make_date(2020, i + 1, 1)
            );
            insert into limena.ai_usage_logs (
                tenant_id, occurred_at, id, actor_type, actor_id, model, outcome, recorded_at
            )
            values (
                tests.tenant_id('a'), make_date(2020, i, 1), gen_random_uuid(), 'user', gen_random_uuid(), 'm',
                'expired', now()
            );
        end loop;
    end $do$;$$
),
(
    'ensure_partitions', 'limena_maintenance', 'maintenance.partitions_made',
    'select limena.ensure_partitions(5)',
    default
),
(
    'erase_tenants', 'limena_maintenance',
    'api_key.deleted, integration.deleted, integration_credential.deleted, invitation.deleted, '
    || 'membership.deleted, tenant.erased, tenant.salt_destroyed, tenant.state_changed',
    'select limena.erase_tenants()',
    $$update limena.tenants set state = 'deleting', deletion_due_at = now() - interval '1 day'
        where id = tests.tenant_id('a')$$
),
(
    'expire_reservations', 'limena_maintenance', 'ai_quota.reset',
    $$select limena.expire_reservations(tests.tenant_id('a'))$$,
    $$select pg_temp.trip_ai(); update limena.ai_quotas set trip_ends_at = now() - interval '1 minute'
        where tenant_id = tests.tenant_id('a')$$
),
(
    'prune', 'limena_maintenance', 'maintenance.pruned, password_reset.deleted',
    'select limena.prune()',
    $$insert into limena.password_resets (user_id, token_hash, expires_at) values (tests.user_id('a', 'owner'),
        sha256('reset'), now() - interval '31 days')$$
),
(
    'record_master_key_rotation', 'limena_maintenance', 'master_key.rotation_begun',
    'select limena.record_master_key_rotation(2)',
    default
),
(
    'recount_ai_quota', 'limena_maintenance', 'ai_quota.recounted, ai_quota.reset',
    $$select limena.recount_ai_quota(tests.tenant_id('a'), 'a good reason')$$,
    'select pg_temp.trip_ai()'
),
(
    'reseal_credentials', 'limena_maintenance', 'integration_credential.resealed',
    $$select limena.reseal_credentials(1, 2, array[tests.tenant_id('a')], array[tests.integration_id('a')],
        '{secret}', array[tests.ciphertext('a anthropic secret')], array[tests.ciphertext('anew')])$$,
    default
),
(
    'seal_audit_log', 'limena_maintenance', 'audit_log.sealed',
    'select limena.seal_audit_log()',
    $$select tests.let_seal(), limena.seal_audit_log(); update limena_private.audit_fences set xid = '3'$$
);
-- And those that leave no row, with the reason.
insert into calls (name, role, call, prelude)
values
-- reads
(
    'ai_clock', 'limena_app',
    'select limena.ai_clock()',
    default
),
-- reads
(
    'describe_tenant', 'limena_app',
    'select limena.describe_tenant()',
    default
),
-- reads
(
    'get_tenant', 'limena_app',
    'select limena.get_tenant()',
    default
),
-- makes a salt, once
(
    'prepare_integration', 'limena_app',
    $$select limena.prepare_integration('openai')$$,
    default
),
-- sets filters for the transaction
(
    'begin_ai_usage_export', 'limena_app',
    'select limena.begin_ai_usage_export()',
    default
),
-- sets filters for the transaction
(
    'begin_audit_export', 'limena_app',
    'select limena.begin_audit_export()',
    default
),
-- last use
(
    'enter_session', 'limena_app',
    $$select limena.enter_session(tests.session_hash('a', 'owner'), tests.tenant_id('a'))$$,
    default
),
-- last use
(
    'enter_api_key', 'limena_app',
    $$select limena.enter_api_key(tests.key_hash('a'))$$,
    default
),
-- a counter
(
    'count_api_key_call', 'limena_app',
    $$select limena.count_api_key_call(tests.key_hash('a'), gen_random_uuid())$$,
    default
),
-- no tenant may learn of another from it
(
    'switch_tenant', 'limena_app',
    $$select limena.switch_tenant(tests.tenant_id('a'))$$,
    default
),
-- a record of its own
(
    'reserve_ai_call', 'limena_app',
    $$select limena.reserve_ai_call('m', 10)$$,
    default
),
-- so is what it came to
(
    'settle_ai_call', 'limena_app',
    'select limena.settle_ai_call((select r.id from limena.ai_reservations as r), 1, 1, 1)',
    $$select tests.enter_as('a', 'owner'), limena.reserve_ai_call('m', 10)$$
),
-- and that it was given back
(
    'release_ai_call', 'limena_app',
    'select limena.release_ai_call((select r.id from limena.ai_reservations as r))',
    $$select tests.enter_as('a', 'owner'), limena.reserve_ai_call('m', 10)$$
),
-- counts; what comes of the attempt is recorded
(
    'begin_log_in', 'limena_auth',
    $$select limena.begin_log_in('owner@a.example')$$,
    default
),
-- a counter
(
    'take_back_log_in', 'limena_auth',
    $$select limena.take_back_log_in('owner@a.example')$$,
    default
),
-- delivery state
(
    'claim_mail', 'limena_maintenance',
    'select limena.claim_mail()',
    $$select tests.enter_as('a', 'owner'), limena.mail_invitation(tests.id('invitation', 'x'))$$
),
-- delivery state
(
    'settle_mail', 'limena_maintenance',
    $$select limena.settle_mail(tests.tenant_id('a'), (select m.id from limena.claim_mail() as m limit 1), true)$$,
    $$select tests.enter_as('a', 'owner'), limena.mail_invitation(tests.id('invitation', 'x'))$$
);

create function pg_temp.recorded(p_role text, p_call text, p_prelude text)
returns text
language plpgsql
as $$
declare
    v_before bigint;
    v_actions text;
begin
    begin
        execute p_prelude;
        perform tests.leave();
        select max(l.seq) into v_before from limena.audit_logs as l;
        execute format('set local role %I', p_role);
        if p_role = 'limena_app' then
            perform tests.enter_as('a', 'owner');
        end if;
        execute p_call;
        reset role;
        select string_agg(distinct l.action, ', ' order by l.action) into v_actions
        from limena.audit_logs as l
        where l.seq > v_before;
        raise exception '%', coalesce(v_actions, '') using errcode = 'TS000';
    exception
        when sqlstate 'TS000' then return sqlerrm;
        when others then return sqlstate || ' ' || sqlerrm;
    end;
end;
$$;

select results_eq(
    $q$select tests.lines('select c.name from calls as c')$q$,
    $q$select tests.lines($$
        select distinct p.proname
        from pg_proc as p
        cross join unnest('{limena_app, limena_auth, limena_readonly, limena_maintenance}'::text[]) as r (name)
        where p.pronamespace = 'limena'::regnamespace
            and p.provolatile = 'v'
            and p.proname <> 'resume_access'  -- opens nothing in the transaction that declared
            and has_function_privilege(r.name, p.oid, 'execute')
    $$)$q$,
    'each procedure that could change something is here'
);
select results_eq(
    $$select c.name, pg_temp.recorded(c.role, c.call, c.prelude) from calls as c order by c.name collate "C"$$,
    $$select c.name, c.actions from calls as c order by c.name collate "C"$$,
    'and leaves exactly these rows'
);

select * from finish();
rollback;
