-- The functions that pin no search_path of their own must not care about it: every name and operator in them is
-- qualified. Here each function and operator that their source uses unqualified would be found in a hostile schema
-- first, and would raise.
begin;
select plan(4);

create schema hostile;
grant usage on schema hostile to limena_owner;
do $$
declare
    v_sql text;
begin
    for v_sql in
        select format(
            'create function hostile.%s language plpgsql as $f$ begin raise exception ''shadowed''; end $f$',
            f.signature
        )
        from (
            values
            ('sha256(bytea) returns bytea'),
            ('encode(bytea, text) returns text'),
            ('convert_to(text, name) returns bytea'),
            ('current_setting(text, boolean) returns text'),
            ('int4send(integer) returns bytea'),
            ('timestamptz_send(timestamptz) returns bytea'),
            ('transaction_timestamp() returns timestamptz'),
            ('pg_backend_pid() returns integer'),
            ('differ(bytea, bytea) returns boolean'),
            ('same(text, text) returns boolean'),
            ('glue(bytea, bytea) returns bytea')
        ) as f (signature)
        union all
        values
        ('create operator hostile.<> (leftarg = bytea, rightarg = bytea, function = hostile.differ)'),
        ('create operator hostile.= (leftarg = text, rightarg = text, function = hostile.same)'),
        ('create operator hostile.|| (leftarg = bytea, rightarg = bytea, function = hostile.glue)')
    loop
        execute v_sql;
    end loop;
end;
$$;
grant execute on all functions in schema hostile to limena_owner;

select is(
    array(
        select p.oid::regprocedure::text
        from pg_proc as p
        where
            p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
            and not coalesce('search_path=pg_catalog, pg_temp' = any(p.proconfig), false)
        order by 1
    ),
    array[
        'ai_clock()',
        'csv_text(text)',
        'limena_private.platform_tenant_id()',
        'limena_private.seal(bytea,text,text)',
        'limena_private.verified_context()'
    ],
    'these functions alone pin no search_path'
);

select tests.make_tenants();
set local role limena_app;
select tests.enter_as('a');
reset role;
-- Each call with the hostile schema first, as limena_owner; pgTAP itself needs its own path back.
create function tests.under_hostile_path(p_expression text)
returns text
language plpgsql
set search_path = hostile, pg_catalog
as $$
declare
    v_result text;
begin
    execute 'select ' || p_expression into v_result;
    return v_result;
end;
$$;

select throws_ok(
    $$select tests.under_hostile_path('current_setting(''x'', true)')$$, 'P0001', 'shadowed', 'the trap works'
);
select isnt(
    tests.under_hostile_path('limena_private.verified_context()'), null,
    'verified_context() and seal() find the functions and operators of pg_catalog'
);
select isnt(tests.under_hostile_path('limena_private.platform_tenant_id()'), null, 'and platform_tenant_id() its type');

select * from finish();
rollback;
