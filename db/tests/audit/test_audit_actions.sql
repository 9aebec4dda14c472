-- limena.audit_actions: exactly the actions that something writes. Fails where an action has no line, or a line no
-- writer.
begin;
select plan(5);

select results_eq(
    $q$select tests.lines('select a.name from limena.audit_actions as a')$q$,
    $q$select tests.lines($$
        select t.entity_type || '.' || v.verb
        from limena_private.audited_tables as t
        cross join (values ('created'), ('updated'), ('deleted'), ('truncated')) as v (verb)
        union
        select n.pair ->> 1
        from limena_private.audited_tables as t
        cross join lateral jsonb_array_elements(t.column_actions) as n (pair)
        union
        select l.found[1]
        from pg_proc as p
        cross join lateral regexp_matches(p.prosrc, 'p_action => ([^\n]*)', 'g') as e (found)
        cross join lateral regexp_matches(e.found[1], '''([a-z_]+\.[a-z_]+)''', 'g') as l (found)
        where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
    $$)$q$,
    'each action that a table or a procedure can write, and no other'
);
select is_empty(
    $$select p.oid::regprocedure
    from pg_proc as p
    where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
        and p.prosrc ~ 'insert into limena\.audit_logs'
        and p.proname not in ('record_changes', 'record_event')$$,
    'two functions write the log, so that this is all'
);
select is_empty(
    $$select a.name from limena.audit_actions as a group by a.name having count(*) > 1$$, 'each action has one line'
);
select is_empty(
    $$select a.name
    from limena.audit_actions as a
    where a.name !~ '^[a-z_]+\.[a-z_]+$'
        or a.severity not in ('info', 'notice', 'warning')
        or a.meaning !~ '^[A-Z].{5,}[^.]$'$$,
    'with a severity and a sentence'
);
select results_eq(
    $$select a.name from limena.audit_actions as a where a.is_announced$$,
    array['ai_usage.removed', 'operator.all_access_opened'],
    'every tenant reads of an access to all, and of a month of calls that went'
);

select * from finish();
rollback;
