-- limena.function_report: what it says of Limena's own functions, and of what somebody puts beside them. Fails without
-- the view, and where a verdict does not look at what it speaks of.
begin;
select plan(4);

select is_empty(
    $$select r.function_name from limena.function_report as r
    where r.schema_name in ('limena', 'limena_private') and r.verdict <> 'ok'$$,
    'Limena''s own are as they should be'
);
select results_eq(
    $$select jsonb_build_array(r.owner, r.is_security_definer, r.search_path, r.executable_by)
    from limena.function_report as r
    where r.function_name = 'enter_api_key'$$,
    array['["limena_owner", true, "pg_catalog, pg_temp", ["limena_app"]]'::jsonb],
    'owner, rights, search_path, and who may'
);
create schema product;
create function product.open() returns void language sql security definer set search_path = pg_catalog as '';
create function product.loose() returns void language sql security definer as '';
revoke all on function product.loose() from public;
create function product.good() returns void language sql security definer set search_path = pg_catalog as '';
revoke all on function product.good() from public;
create function product.plain() returns void language sql as '';
select results_eq(
    $$select jsonb_build_array(r.function_name, r.verdict) from limena.function_report as r
    where r.schema_name = 'product' order by r.function_name collate "C"$$,
    array[
        '["good", "ok"]'::jsonb,
        '["loose", "open: its caller chooses what the names in it mean"]',
        '["open", "open: everyone may run it with its owner''s rights"]'
    ],
    'SECURITY DEFINER functions of any schema'
);
grant execute on function limena.promote_user(text) to public;
select is(
    (
        select r.verdict from limena.function_report as r
        where r.function_name = 'promote_user'
    ),
    'open: executable by PUBLIC', 'and what is broken in Limena''s own shows'
);

select * from finish();
rollback;
