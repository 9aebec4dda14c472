-- The policies, functions, views, triggers and constraints of the two schemas as they are now, as PostgreSQL prints
-- them. Without the partitions, which ensure_partitions() adds between deploys and isolation_report looks at.
--
-- Meant for search_path = pg_catalog, pg_temp: another one prints other names.
create or replace view limena_private.definitions
with (security_invoker = true) as
select
    d.object,
    encode(sha256(convert_to(d.definition, 'UTF8')), 'hex') as sha256,
    d.written_by
from (
    select
        format('policy %I on %s', p.polname, p.polrelid::regclass) as object,
        jsonb_build_array(
            p.polpermissive, p.polcmd, p.polroles::regrole[],
            pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
        )::text as definition,
        p.xmin as written_by
    from pg_policy as p
    inner join pg_class as c on p.polrelid = c.oid
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace) and not c.relispartition
    union all
    select
        'function ' || p.oid::regprocedure::text as object,
        case when p.prokind = 'a' then 'an aggregate' else pg_get_functiondef(p.oid) end as definition,
        p.xmin as written_by
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
    union all
    select
        'view ' || c.oid::regclass::text as object,
        pg_get_viewdef(c.oid) || coalesce(array_to_string(c.reloptions, ', '), '') as definition,
        r.xmin as written_by
    from pg_class as c
    inner join pg_rewrite as r on c.oid = r.ev_class and r.rulename = '_RETURN'
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
    union all
    select
        format('trigger %I on %s', g.tgname, g.tgrelid::regclass) as object,
        pg_get_triggerdef(g.oid) || ' ' || g.tgenabled::text as definition,
        g.xmin as written_by
    from pg_trigger as g
    inner join pg_class as c on g.tgrelid = c.oid
    where
        c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and not c.relispartition
        and not g.tgisinternal
    union all
    -- With the state of the triggers that keep a foreign key: DISABLE TRIGGER ALL is the end of it.
    select
        format('constraint %I on %s', k.conname, k.conrelid::regclass) as object,
        pg_get_constraintdef(k.oid) || coalesce((
            select ' ' || string_agg(g.tgenabled::text, '' order by g.tgenabled)
            from pg_trigger as g
            where g.tgconstraint = k.oid
        ), '') as definition,
        k.xmin as written_by
    from pg_constraint as k
    inner join pg_class as c on k.conrelid = c.oid
    where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace) and not c.relispartition
) as d;

comment on view limena_private.definitions is
'Every policy, function, view, trigger and constraint of Limena as it is now, and which transaction wrote it.';
