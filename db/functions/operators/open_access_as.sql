-- The API's own way to declare an access, in the name of a platform admin whose session it proves. It returns the
-- ticket and sets nothing: resume_access() puts it to use in a later transaction, for that transaction alone, so that a
-- pooled connection keeps nothing of it.
--
-- What an attacker would try: name a person instead of proving one (there is no parameter for it); read in this
-- transaction and roll it back (see current_access); go on with the ticket of somebody who is no admin any more
-- or has logged out (current_access() asks each time).
--
-- SECURITY DEFINER because it finds the session by its hash, and no role may write operator_access.
create or replace function limena.open_access_as(
    p_session_hash bytea,
    p_reason text,
    p_tenant_id uuid default null,
    p_minutes integer default 1,
    p_request_id text default null,
    p_ip inet default null,
    p_user_agent text default null
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ticket text := limena_private.new_ticket();
    v_person record;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'access is opened under READ COMMITTED only' using errcode = '25001';
    end if;
    select u.id, u.email, u.is_platform_admin, s.id as session_id into v_person
    from limena.sessions as s
    inner join limena.users as u on s.user_id = u.id
    where s.secret_hash = p_session_hash
        and s.ended_at is null
        and s.expires_at > clock_timestamp();
    if not found then
        raise exception 'the session is not valid' using errcode = '28000';
    end if;
    if not v_person.is_platform_admin then
        raise exception 'permission denied' using errcode = '42501';
    end if;

    perform limena_private.seal_context(
        p_tenant_id => null,
        p_actor_type => 'operator',
        p_actor_id => v_person.id,
        p_actor_label => v_person.email,
        p_user_id => v_person.id,
        p_role => null,
        p_permissions => '{}',
        p_session_id => v_person.session_id,
        p_request_id => p_request_id,
        p_ip => p_ip,
        p_user_agent => p_user_agent
    );
    perform limena_private.declare_access(
        p_ticket => v_ticket,
        p_user_id => v_person.id,
        p_session_id => v_person.session_id,
        p_reason => p_reason,
        p_tenant_id => p_tenant_id,
        p_duration => make_interval(mins => p_minutes)
    );
    return v_ticket;
end;
$$;

comment on function limena.open_access_as(bytea, text, uuid, integer, text, inet, text) is
'Declares an access (p_tenant_id NULL: to all) in the name of the platform admin whose session this is, and returns its ticket for resume_access(). Raises 28000 when the session is not valid, 42501 when the person is no platform admin, 22023 for a bad reason or duration, P0002 for a tenant that does not exist, 25001 unless READ COMMITTED.';

grant execute on function limena.open_access_as(bytea, text, uuid, integer, text, inet, text) to limena_readonly;
