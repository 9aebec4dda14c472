-- Attack: as the owner of tenant a, find out whether something exists in tenant b, from what a unique key, a foreign
-- key, ON CONFLICT, MERGE or a lock answers; and change it on the way.
-- It would work without: tenant_id first in each key, WITH CHECK (which PostgreSQL tests before any key), and one
-- answer for what is another tenant's and what does not exist.
-- Known limit: hashes of secrets are unique in the whole database. Who knows the SHA-256 of a key can enter with it
-- anyway.
begin;
select plan(44);

select tests.make_tenants();
select tests.make_api_key(p_tenant => 'a');
select tests.make_api_key(p_tenant => 'b');
insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by)
values (
    tests.tenant_id('b'), tests.id('invitation', 'b'), 'guest@b.example', 'member', sha256('token of b'),
    tests.user_id('b', 'owner')
);

set local session authorization limena_app;
select tests.enter_as('a', 'owner');

-- What exists in b and what exists nowhere: the same answer, to the letter.
select
    is(
        tests.error_of(format(s.statement, s.existing)),
        replace(tests.error_of(format(s.statement, s.missing)), s.missing, s.existing),
        'the same answer: ' || regexp_replace(s.statement, '\s+', ' ', 'g')
    )
from (
    values
    ('select limena.revoke_api_key(%L)', tests.api_key_id('b')::text, tests.id('none', '')::text),
    (
        'select limena.enter_session(tests.session_hash(''a'', ''owner''), %L)',
        tests.tenant_id('b')::text,
        tests.id('none', '')::text
    ),
    (
        'insert into limena.api_key_uses (tenant_id, api_key_id) values (tests.tenant_id(''b''), %L)',
        tests.api_key_id('b')::text, tests.id('none', '')::text
    ),
    (
        'insert into limena.api_key_uses (tenant_id, api_key_id) values (tests.tenant_id(''a''), %L)',
        tests.api_key_id('b')::text, tests.id('none', '')::text
    ),
    (
        'insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
        values (tests.tenant_id(''b''), %L, ''member'', sha256(''x''), tests.user_id(''a'', ''owner''))',
        'guest@b.example', 'nobody@b.example'
    ),
    (
        'insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
        values (%L, ''guest@b.example'', ''member'', sha256(''x''), tests.user_id(''a'', ''owner''))',
        tests.tenant_id('b')::text, tests.id('none', '')::text
    ),
    (
        'insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
        values (tests.tenant_id(''a''), ''x@x.example'', ''member'', sha256(''x''), %L)',
        tests.user_id('b', 'owner')::text, tests.id('none', '')::text
    ),
    (
        'insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)
        values (tests.tenant_id(''b''), ''x@x.example'', ''member'', sha256(%L), tests.user_id(''a'', ''owner''))',
        'token of b', 'token of nobody'
    ),
    (
        'insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by)
        values (tests.tenant_id(''b''), %L, ''x'', ''lmn_abcdef'', ''0000'', ''{ai:use}'', sha256(''x''), tests.user_id(''a'', ''owner''))',
        tests.api_key_id('b')::text, tests.id('none', '')::text
    ),
    (
        'insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by)
        values (%L, gen_random_uuid(), ''x'', ''lmn_abcdef'', ''0000'', ''{ai:use}'', sha256(''x''), tests.user_id(''a'', ''owner''))',
        tests.tenant_id('b')::text, tests.id('none', '')::text
    ),
    (
        'insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by)
        values (tests.tenant_id(''a''), gen_random_uuid(), ''x'', ''lmn_abcdef'', ''0000'', ''{ai:use}'', sha256(''x''), %L)',
        tests.user_id('b', 'owner')::text, tests.id('none', '')::text
    )
) as s (statement, existing, missing);

-- Ids are drawn by the client or the database, and each tenant has its own: an id of b's is free in a.
select is(
    tests.outcome(
        format(
            'insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by) '
            'values (%L, %L, %L, %L, %L, %L, sha256(%L), %L)',
            tests.tenant_id('a'),
            tests.api_key_id('b'),
            'x',
            'lmn_abcdef',
            '0000',
            '{ai:use}',
            'x',
            tests.user_id('a', 'owner')
        )
    ), '1', 'a key of a may have the id of a key of b'
);
select is(
    tests.outcome(
        format(
            'insert into limena.invitations (tenant_id, id, email, role, token_hash, invited_by) '
            'values (%L, %L, %L, %L, sha256(%L), %L)',
            tests.tenant_id('a'),
            tests.id('invitation', 'b'),
            'guest@b.example',
            'member',
            'x',
            tests.user_id('a', 'owner')
        )
    ), '1', 'an invitation of a may have the id and address of one of b'
);

-- ON CONFLICT and MERGE neither find nor change b's rows.
select is(tests.outcome(s.statement), '42501', s.name)
from (
    values
    (
        'on conflict do update on b''s key',
        format(
            'insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by) '
            'values (%L, %L, %L, %L, %L, %L, sha256(%L), %L) on conflict (tenant_id, id) do update set revoked_at = now()',  -- noqa: LT05
            tests.tenant_id('b'),
            tests.api_key_id('b'),
            'x',
            'lmn_abcdef',
            '0000',
            '{ai:use}',
            'x',
            tests.user_id('a', 'owner')
        )
    ),
    (
        'on conflict do nothing on b''s key',
        format(
            'insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by) '
            'values (%L, %L, %L, %L, %L, %L, sha256(%L), %L) on conflict do nothing',
            tests.tenant_id('b'),
            tests.api_key_id('b'),
            'x',
            'lmn_abcdef',
            '0000',
            '{ai:use}',
            'x',
            tests.user_id('a', 'owner')
        )
    ),
    (
        'on conflict by the hash',
        format(
            'insert into limena.api_keys (tenant_id, name, prefix, last_four, scopes, key_hash, created_by) '
            'values (%L, %L, %L, %L, %L, %L, %L) on conflict (key_hash) do nothing',
            tests.tenant_id('a'),
            'x',
            'lmn_abcdef',
            '0000',
            '{ai:use}',
            tests.key_hash('b'),
            tests.user_id('a', 'owner')
        )
    ),
    (
        'on conflict do update by a hash of b''s',
        format(
            'insert into limena.api_keys (tenant_id, name, prefix, last_four, scopes, key_hash, created_by) '
            'values (%L, %L, %L, %L, %L, %L, %L) on conflict on constraint api_keys_key_hash_key do update set revoked_at = now()',  -- noqa: LT05
            tests.tenant_id('a'),
            'x',
            'lmn_abcdef',
            '0000',
            '{ai:use}',
            tests.key_hash('b'),
            tests.user_id('a', 'owner')
        )
    ),
    (
        'merge that inserts into b',
        format(
            'merge into limena.api_key_uses as u using (select %L::uuid as t, %L::uuid as k) as s '
            'on u.tenant_id = s.t and u.api_key_id = s.k when not matched then insert (tenant_id, api_key_id) values (s.t, s.k)',  -- noqa: LT05
            tests.tenant_id('b'), tests.api_key_id('b')
        )
    )
) as s (name, statement);
select is(
    tests.outcome(
        format(
            'merge into limena.invitations as i using (select %L::uuid as id) as s on i.id = s.id '
            'when matched then update set withdrawn_at = now()', tests.id('invitation', 'b')
        )
    ), '0', 'merge matches no invitation of b'
);
select is(
    tests.error_of(
        format(
            'insert into limena.api_keys (tenant_id, name, prefix, last_four, scopes, key_hash, created_by) '
            'values (%L, %L, %L, %L, %L, %L, %L)',
            tests.tenant_id('a'),
            'x',
            'lmn_abcdef',
            '0000',
            '{ai:use}',
            tests.key_hash('b'),
            tests.user_id('a', 'owner')
        )
    ), '23505 duplicate key value violates unique constraint "api_keys_key_hash_key"; constraint api_keys_key_hash_key',
    'a hash that is taken is refused without a word about whose it is'
);
select is(
    tests.error_of(
        format(
            'insert into limena.api_keys (tenant_id, name, prefix, last_four, scopes, key_hash, created_by) '
            'values (%L, %L, %L, %L, %L, %L, %L)',
            tests.tenant_id('a'), '', 'lmn_abcdef', '0000', '{ai:use}', sha256('x'), tests.user_id('a', 'owner')
        )
    ),
    '23514 new row for relation "api_keys" violates check constraint "api_keys_name_check"; constraint api_keys_name_check',  -- noqa: LT05
    'and a row that is refused is not shown'
);

-- Changing and locking b's rows.
select is(tests.outcome(s.statement), '0', s.statement)
from (
    values
    ($$update limena.invitations set withdrawn_at = now() where id = tests.id('invitation', 'b')$$),
    (
        $$update limena.invitations as i set withdrawn_at = now() from limena.memberships as m where i.invited_by = m.user_id and m.tenant_id = tests.tenant_id('b')$$  -- noqa: LT05
    ),
    (
        $$with u as (update limena.invitations set withdrawn_at = now() where tenant_id = tests.tenant_id('b') returning id) select from u$$  -- noqa: LT05
    ),
    ($$select from limena.invitations where id = tests.id('invitation', 'b') for update$$),
    ($$select from limena.invitations where tenant_id = tests.tenant_id('b') for share$$),
    ($$select from limena.invitations where id = tests.id('invitation', 'b') for key share skip locked$$),
    ($$select from limena.invitations where id = tests.id('invitation', 'b') for no key update nowait$$)
) as s (statement);
select is(tests.outcome(s.statement), '42501', s.statement)
from (
    values
    ('select from limena.users for share'),
    ('select from limena.tenants for key share'),
    ('select from limena.sessions for key share'),
    ('select from limena.api_keys for key share'),
    ('update limena.api_keys set revoked_at = now()'),
    ('select from limena.memberships for update'),
    ('select from limena.audit_logs for share'),
    ('lock table limena.api_keys in access share mode'),
    ('lock table limena.api_keys in row exclusive mode'),
    ('lock table limena.api_keys in access exclusive mode'),
    ('lock table limena.audit_logs in share mode'),
    ('lock table limena.sessions'),
    ('select nextval(''limena.audit_logs_seq_seq'')'),
    ('select setval(''limena.audit_logs_seq_seq'', 1)'),
    ('select last_value from limena.audit_logs_seq_seq')
) as s (statement);

select is(tests.harm('a'), '', 'nothing of b can be changed');

select * from finish();
rollback;
