-- What a deploy made: one line an object, so that an object that was altered by hand since can be named. The ledger
-- cannot tell: it is about files.
create table limena_private.deployed_definitions (
    object text not null, -- noqa: RF04
    sha256 text not null,
    server_major integer not null,
    constraint deployed_definitions_pkey primary key (object),
    constraint deployed_definitions_sha256_check check (sha256 ~ '^[0-9a-f]{64}$')
);

comment on table limena_private.deployed_definitions is
'The policies, functions, views, triggers and constraints as the last deploy left them. Only limena deploy writes it; limena.self_check() compares.';
comment on column limena_private.deployed_definitions.object is 'as limena_private.definitions names it';
comment on column limena_private.deployed_definitions.sha256 is 'of the definition as PostgreSQL prints it, in hex';
comment on column limena_private.deployed_definitions.server_major is
'whose printing it is: another major version may print the same thing in other words';
