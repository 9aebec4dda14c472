-- 244 bits from the server's own random source, in hex.
--
-- SECURITY INVOKER: only definer functions can call it, as limena_owner.
create or replace function limena_private.new_ticket()
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'hex');
end;
$$;

comment on function limena_private.new_ticket() is 'A fresh ticket of an operator''s access: 64 hexadecimal digits.';
