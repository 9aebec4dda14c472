-- limena.deployed_digest(): the formula that the process compares with. Fails without the function.
begin;
select plan(8);

delete from limena_private.deployed_files;
select is(limena.deployed_digest(), encode(sha256(''), 'hex'), 'no file: the digest of nothing');

insert into limena_private.deployed_files (path, sha256)
values ('b.sql', repeat('b', 64)),
('a/Z.sql', repeat('a', 64)),
('a_a.sql', repeat('c', 64)),
('A.sql', repeat('d', 64));
select is(
    limena.deployed_digest(),
    encode(
        sha256(
            convert_to(
                format(
                    E'A.sql %s\na/Z.sql %s\na_a.sql %s\nb.sql %s',
                    repeat('d', 64),
                    repeat('a', 64),
                    repeat('c', 64),
                    repeat('b', 64)
                ),
                'UTF8'
            )
        ),
        'hex'
    ),
    'paths and hashes in the order of their bytes, line by line'
);
update limena_private.deployed_files set sha256 = repeat('e', 64)
where path = 'b.sql';
select is(
    limena.deployed_digest(),
    encode(
        sha256(
            convert_to(
                format(
                    E'A.sql %s\na/Z.sql %s\na_a.sql %s\nb.sql %s',
                    repeat('d', 64),
                    repeat('a', 64),
                    repeat('c', 64),
                    repeat('e', 64)
                ),
                'UTF8'
            )
        ),
        'hex'
    ),
    'a file changes, and so does the digest'
);

-- For /readyz, and nobody sees the files.
set local role limena_app;
select is(tests.outcome('select limena.deployed_digest()'), '1', 'limena_app may ask');
select is(tests.outcome('select path from limena_private.deployed_files'), '42501', 'and sees no file');
set local role limena_maintenance;
select is(tests.outcome('select limena.deployed_digest()'), '1', 'limena_maintenance may ask');
set local role limena_auth;
select is(tests.outcome('select limena.deployed_digest()'), '42501', 'limena_auth may not');
set local role limena_readonly;
select is(tests.outcome('select limena.deployed_digest()'), '42501', 'nor limena_readonly');

select * from finish();
rollback;
