-- Under which model a call is added up in a day's sums: its own, or (other), which no caller can name, when the day has
-- a thousand sums and this would be one more. Callers choose the names of models, and keys are made as one likes: a
-- tenant's lists, and a platform admin's, read every sum. What ai_usage_logs says is not touched.
--
-- A day that is full stays full. So a sum of the model's own is there if and only if all its calls are in it: who takes
-- one out again finds it by the same question, and check_ai_quotas() what has to be in which.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner, under the lock of lock_ai_quota().
create or replace function limena_private.summed_model(
    p_tenant_id uuid,
    p_day date,
    p_actor_type text,
    p_actor_id uuid,
    p_model text,
    p_outcome text
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select from limena.ai_usage_days as d
        where d.tenant_id = p_tenant_id
            and d.day = p_day
            and d.actor_type = p_actor_type
            and d.actor_id = p_actor_id
            and d.model = p_model
            and d.outcome = p_outcome
    ) or not exists (
        select from limena.ai_usage_days as d where d.tenant_id = p_tenant_id and d.day = p_day offset 999
    ) then
        return p_model;
    end if;
    return '(other)';
end;
$$;

comment on function limena_private.summed_model(uuid, date, text, uuid, text, text) is
'The model under which a call of this caller, model and outcome counts in a tenant''s day: its own, or (other) when the day is full.';
