-- The key that seals tenant contexts. Made here, from the server's own random source (gen_random_uuid() draws 122 bits
-- a call from pg_strong_random()), so that it is in no file and in no statement's text. Readable by the owner alone.
create table limena_private.seal_keys (
    id smallint constraint seal_keys_pkey primary key default 1
    constraint seal_keys_id_check check (id = 1),
    secret bytea not null
    constraint seal_keys_secret_check check (octet_length(secret) = 32)
);
comment on table limena_private.seal_keys is 'The one key under which the functions of the context domain seal and check a context.';

insert into limena_private.seal_keys (secret)
select
    sha256(
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
        || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    );
