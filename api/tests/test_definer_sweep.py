"""Every function that a login role of ours may execute, called with another tenant's ids and with hostile values, as
each of those who could: what support/sweep.py finds has to be nothing. Functions and their parameters come from
pg_proc, so that one that is added next year is called too, or fails here for want of arguments.

And the sweep has to be able to find something: each weaker version of a function below, it has to notice.
"""

from collections.abc import Iterator

import pytest

from support.breakages import replaced
from support.databases import Database, create_database, drop_database
from support.sweep import ACTORS, EXCEPTIONS, LOGINS, Sweep
from support.sweep_cases import CALLED_WITH, FAILS, HOSTILE, UNMARKED, WITHOUT_B, WORKS_WHEN_FROZEN


@pytest.fixture(scope="module")
def sweep(template: Database) -> Iterator[Sweep]:
    database = create_database(template.server, "sweep", template)
    made = Sweep(database)
    yield made
    made.close()
    drop_database(database)


def test_every_function_has_arguments_and_no_other_has(sweep: Sweep) -> None:
    parameters = {f"{one.name}.{each.name}": each for one in sweep.functions.values() for each in one.parameters}
    names = {each.name for each in parameters.values()}
    missing = {
        place
        for place, each in parameters.items()
        if each.default is None and not {place, each.name} & CALLED_WITH.keys()
    }
    assert missing == set(), "say in CALLED_WITH (support/sweep_cases.py) what these are called with"
    assert {each.type for each in parameters.values()} <= HOSTILE.keys(), (
        "say in HOSTILE what is hostile of these types"
    )
    assert CALLED_WITH.keys() <= parameters.keys() | names, "these parameters are no more"
    assert FAILS.keys() <= sweep.functions.keys()


def test_b_has_values_of_its_own(sweep: Sweep) -> None:
    """Or nobody could tell whether they are told."""
    with sweep.database.connect() as superuser:
        columns = superuser.execute(
            """
            select c.oid::regclass::text, a.attname::text
            from pg_class as c
            inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
            where c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
                and c.relkind in ('r', 'p')
                and not c.relispartition
                and c.relname !~ '^deployed_'
                and a.atttypid = any ('{uuid, text, text[], bytea, inet, jsonb}'::regtype[])
            """
        ).fetchall()
    of_b = {table for table, _ in sweep.columns_of_b}
    assert {table for table, _ in columns} - of_b == WITHOUT_B, "give b a row in these tables (db/tests/sweep.sql)"
    foreign = set(sweep.foreign["a"])
    unmarked = {
        f"{table}.{column}"
        for table, column in columns
        if table in of_b and not foreign & set(sweep.columns_of_b.get((table, column), ()))
    }
    assert unmarked == UNMARKED, "give b a value of its own in these columns (db/tests/sweep.sql)"


def test_nothing_is_found(sweep: Sweep) -> None:
    found = [str(finding) for login in LOGINS for finding in sweep.findings(login)]
    assert found == []
    listed = {(name, function) for name, exceptions in EXCEPTIONS.items() for function in exceptions}
    assert listed - sweep.needed == set(), "nothing needs these exceptions (support/sweep_cases.py) any more"


def test_a_frozen_tenant_stays_as_it_is(sweep: Sweep) -> None:
    owner = next(actor for actor in ACTORS if actor.name == "a's owner")
    with sweep.database.connect() as superuser:
        superuser.execute("update limena.tenants set state = 'frozen' where id = tests.tenant_id('a')")
        sweep.remember()
        try:
            changed = {
                function.name
                for function in sweep.functions.values()
                if "limena_app" in function.granted_to and sweep.call(owner, function, {}).changes
            }
        finally:
            superuser.execute("update limena.tenants set state = 'active' where id = tests.tenant_id('a')")
            sweep.remember()
    assert changed == WORKS_WHEN_FROZEN


# A function, what in it, and what instead; which function then shows it, in which way.
WEAKER = [
    # Whose.
    ("limena.find_people(uuid[])", "m.tenant_id = v_tenant_id", "true", "find_people", "tells"),
    ("limena.list_tenants(integer, text)", "m.user_id = v_user_id", "true", "list_tenants", "tells"),
    ("limena.list_tenants(integer, text)", "if v_user_id is null then", "if false then", "list_tenants", "answers"),
    ("limena.end_session(uuid)", "s.user_id = v_user_id", "true", "end_session", "changes"),
    ("limena.mail_invitation(uuid)", "i.tenant_id = v_tenant_id", "true", "mail_invitation", "knows"),
    ("limena.revoke_api_key(uuid)", "k.tenant_id = v_tenant_id", "true", "revoke_api_key", "changes"),
    ("limena.read_integrations(text, text)", "i.tenant_id = v_tenant_id", "true", "read_integrations", "tells"),
    (
        "limena.record_revocation(uuid, timestamptz, text)",
        "i.tenant_id = (v_context ->> 'tenant_id')::uuid",
        "true",
        "record_revocation",
        "changes",
    ),
    ("limena_private.own_ai_reservation(uuid)", "r.tenant_id = v_tenant_id", "true", "settle_ai_call", "knows"),
    (
        "limena_private.expire_ai_reservations(limena.ai_quotas)",
        "r.tenant_id = p_quota.tenant_id",
        "true",
        "reserve_ai_call",
        "changes",
    ),
    (
        "limena.get_audit_verification(integer, text)",
        "s.tenant_id = v_tenant_id",
        "true",
        "get_audit_verification",
        "tells",
    ),
    ("limena.covered_people()", "m.tenant_id = v_access.tenant_id", "true", "covered_people", "tells"),
    (
        "limena.change_password(bytea, text, text, bytea, text, inet, text)",
        "s.user_id = v_session.user_id",
        "s.current_tenant_id = (select c.current_tenant_id from limena.sessions as c where c.id = v_session.id)",
        "change_password",
        "changes",
    ),
    # Whose within the tenant.
    (
        "limena.end_session(uuid)",
        "s.user_id = v_user_id",
        "s.current_tenant_id = (limena_private.verified_context()::jsonb ->> 'tenant_id')::uuid",
        "end_session",
        "changes",
    ),
    (
        "limena_private.own_ai_reservation(uuid)",
        "perform limena.require_even_frozen('ai:write');",
        "",
        "settle_ai_call",
        "changes",
    ),
    (
        "limena_private.own_ai_reservation(uuid)",
        "perform limena.require_even_frozen('ai:write');",
        "",
        "release_ai_call",
        "changes",
    ),
    (
        "limena_private.retried_ai_reservation(uuid, uuid, text, text, integer)",
        "r.actor_id = p_actor_id",
        "true",
        "reserve_ai_call",
        "knows",
    ),
    # Who may.
    (
        "limena.export_audit_logs(text, uuid, text, text, timestamptz, timestamptz)",
        "perform limena.require('audit:export');",
        "",
        "export_audit_logs",
        "allows",
    ),
    (
        "limena.withdraw_invitation(uuid)",
        "perform limena.require('invitations:write');",
        "",
        "withdraw_invitation",
        "allows",
    ),
    (
        "limena.create_invitation(text, text, bytea, uuid)",
        "perform limena.require('invitations:write');",
        "",
        "create_invitation",
        "changes",
    ),
    (
        "limena.administer_tenant(bytea, uuid, text, text, integer, bigint, text, inet, text)",
        "if not v_person.is_platform_admin then",
        "if false then",
        "administer_tenant",
        "allows",
    ),
    (
        "limena.open_access_as(bytea, text, uuid, integer, text, inet, text)",
        "if not v_person.is_platform_admin then",
        "if false then",
        "open_access_as",
        "allows",
    ),
    # What with.
    ("limena.due_ai_quotas(integer)", "p_limit not between 1 and 10000", "false", "due_ai_quotas", "undocumented"),
    ("limena.page_limit(integer)", "not between 1 and 200", "not between 1 and 2", "page_limit", "fails"),
]


@pytest.mark.parametrize(
    ("function", "old", "new", "name", "kind"), WEAKER, ids=[f"{weaker[3]} {weaker[4]}" for weaker in WEAKER]
)
def test_a_weaker_function_is_found(sweep: Sweep, function: str, old: str, new: str, name: str, kind: str) -> None:
    with sweep.database.connect() as superuser:
        (intact,) = superuser.execute("select pg_get_functiondef(%s::regprocedure)", [function]).fetchall()[0]
        superuser.execute(replaced(function, (old, new)).encode())
        try:
            assert any(finding.kind == kind for login in LOGINS for finding in sweep.findings(login, [name]))
        finally:
            superuser.execute(intact.encode())
