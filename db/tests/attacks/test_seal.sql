-- Attack: a seal that fits more than one context. Each thing that it is made of is changed alone; what cannot be
-- changed from outside, the backend, with the help of a parallel worker: it is another backend in the same transaction.
-- It would work if limena_private.seal() left one of them out.
begin;
select plan(11);

set local parallel_leader_participation = off;
select set_config(
    case
        when current_setting('server_version_num')::integer < 160000 then 'force_parallel_mode' else
            'debug_parallel_query'
    end,
    'on', true
);
-- Only here, and rolled back: the product's function is PARALLEL RESTRICTED, so that it always runs where the context
-- was sealed.
alter function pg_catalog.pg_backend_pid() parallel safe;
alter function limena_private.seal(bytea, text, text) parallel safe;
create temporary table in_worker as
select
    limena_private.seal('\x01', 't', 'c') as seal,
    pg_backend_pid() as pid,
    transaction_timestamp() as started_at;
alter function pg_catalog.pg_backend_pid() parallel restricted;
create temporary table in_leader as
select
    limena_private.seal('\x01', 't', 'c') as seal,
    pg_backend_pid() as pid,
    transaction_timestamp() as started_at;

select isnt((select pid from in_worker), (select pid from in_leader), 'a worker is another backend');
select is(
    (select started_at from in_worker), (select started_at from in_leader), 'in the same transaction'
);
select isnt((select seal from in_worker), (select seal from in_leader), 'another backend has another seal');

select is(octet_length(limena_private.seal('\x01', 't', 'c')), 32, 'a seal is a SHA-256');
select is(limena_private.seal('\x01', 't', 'c'), (select seal from in_leader), 'the same for the same');
select isnt(limena_private.seal('\x02', 't', 'c'), (select seal from in_leader), 'another key, another seal');
select isnt(limena_private.seal('\x01', 'u', 'c'), (select seal from in_leader), 'another tenant, another seal');
select isnt(limena_private.seal('\x01', 't', 'd'), (select seal from in_leader), 'another context, another seal');
select
    isnt(
        limena_private.seal('\x01', 'tc', ''),
        (select seal from in_leader),
        'text does not move from one part to the other'
    );
select isnt(limena_private.seal('\x01', '', 'tc'), (select seal from in_leader), 'in either direction');
select is(
    (
        select count(*) from limena_private.seal_keys as k
        where octet_length(k.secret) = 32
    ), 1::bigint,
    'the key has 256 bits, and there is one'
);

select * from finish();
rollback;
