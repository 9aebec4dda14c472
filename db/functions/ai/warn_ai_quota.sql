-- At 80 % and at 95 % of the month's tokens, reserved ones included: each once a month, and only the higher of two that
-- are reached at once.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.warn_ai_quota(p_quota limena.ai_quotas, p_limit bigint)
returns limena.ai_quotas
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_counted bigint := p_quota.used_tokens - p_quota.written_off_tokens + p_quota.reserved_tokens;
    v_percent integer := case when v_counted >= p_limit * 0.95 then 95 when v_counted >= p_limit * 0.8 then 80 else 0 end;
begin
    if v_percent <= p_quota.warned_percent then
        return p_quota;
    end if;
    p_quota.warned_percent := v_percent;
    perform limena_private.record_event(
        p_tenant_id => p_quota.tenant_id,
        p_action => 'ai_quota.warned',
        p_entity_type => 'ai_quota',
        p_entity_id => p_quota.tenant_id::text,
        p_details => jsonb_build_object('percent', v_percent, 'limit', p_limit)
    );
    perform limena_private.mail_owners(
        p_tenant_id => p_quota.tenant_id,
        p_template => 'ai_warned',
        p_parameters => jsonb_build_object(
            'percent', v_percent,
            'limit', p_limit,
            'until', to_char(
                date_trunc('month', p_quota.as_of at time zone 'UTC') + interval '1 month', 'YYYY-MM-DD HH24:MI "UTC"'
            )
        )
    );
    return p_quota;
end;
$$;

comment on function limena_private.warn_ai_quota(limena.ai_quotas, bigint) is
'Records, and mails the owners, that 80 or 95 % of the month''s tokens are used or reserved; returns the quota as it is then.';
