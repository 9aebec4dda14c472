-- For a tenant that wants to see for itself. In pages of seals, so that no answer takes longer than a request may.
--
-- SECURITY DEFINER because the digests are granted to nobody. The tenant is the context's.
create or replace function limena.get_audit_verification(p_limit integer default 10, p_after text default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant_id uuid := limena.current_tenant_id();
    v_after integer := 0;
    v_last integer;
    v_answer jsonb;
begin
    perform limena.require('audit:read');
    if p_limit is null or p_limit not between 1 and 50 then
        raise exception 'must be from 1 to 50' using errcode = '22023', column = 'limit';
    end if;
    if p_after is not null then
        if p_after !~ '^[0-9]{1,9}$' then
            raise exception 'is not a cursor of this list' using errcode = '22023', column = 'after';
        end if;
        v_after := p_after::integer;
    end if;

    select
        jsonb_build_object(
            'intact', count(v.kind) = 0,
            'findings', coalesce(
                jsonb_agg(
                    jsonb_build_object('kind', v.kind, 'row_id', v.row_id, 'occurred_at', v.occurred_at, 'detail', v.detail)
                    order by v.place
                ) filter (where v.kind is not null and v.place <= 1000),
                '[]'
            ),
            'checked_seals', count(*) filter (where v.kind is null),
            'checked_rows', coalesce(sum(v.rows), 0),
            'sealed_until', (select max(s.last_at) from limena.audit_seals as s where s.tenant_id = v_tenant_id)
        ),
        max(v.number) filter (where v.kind is null)
    into v_answer, v_last
    from (
        select f.*, row_number() over () as place
        from limena_private.verify_audit_seals(p_tenant_id => v_tenant_id, p_after => v_after, p_limit => p_limit) as f
    ) as v;

    return v_answer || jsonb_build_object(
        'next', (
            select max(v_last)::text
            from limena.audit_seals as s
            where s.tenant_id = v_tenant_id and s.number > v_last
            having count(*) > 0
        )
    );
end;
$$;

comment on function limena.get_audit_verification(integer, text) is
'Holds the current tenant''s audit log to its seals, up to 50 of them (1,000 rows each) at a time; what was altered, added or removed since it was sealed is found. Raises 42501 without audit:read, 22023 for a bad limit or cursor.';

grant execute on function limena.get_audit_verification(integer, text) to limena_app;
