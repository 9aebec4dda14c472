"""What takes two connections to show of entering and logging in: nobody waits for anybody who should not, and what must
count once counts once. That a credential ended by someone else is refused at the next call is in test_attacks.py.

Nothing here sleeps: a statement that would wait runs into lock_timeout, and where one has to wait the test looks for it
in pg_stat_activity.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors

from support.databases import Database

Connection = psycopg.Connection[tuple[Any, ...]]

ENTER: dict[str, LiteralString] = {
    "session": "select limena.enter_session(tests.session_hash('a', 'owner'), tests.tenant_id('a'))",
    "key": "select limena.enter_api_key(tests.key_hash('a'))",
}
# Each row that entering reads or writes, locked as firmly as a row can be.
LOCKED: tuple[LiteralString, ...] = (
    "select from limena.sessions for update",
    "select from limena.session_uses for update",
    "select from limena.api_keys for update",
    "select from limena.api_key_uses for update",
    "select from limena.memberships for update",
    "select from limena.users for update",
    "select from limena.tenants for update",
    "update limena.session_uses set last_seen_at = now()",
    "update limena.api_key_uses set last_used_at = now()",
    "update limena.sessions set ended_at = now()",
    "update limena.api_keys set revoked_at = now()",
    "update limena.memberships set role = 'viewer'",
    "delete from limena.memberships",
)
PASSWORD = "$2b$04$" + "." * 53


@pytest.fixture
def database(fresh_database: Callable[[], Database]) -> Database:
    """Two tenants, a key, and uses so old that the next one is due."""
    made = fresh_database()
    with made.connect() as superuser:
        superuser.execute("select tests.make_tenants()")
        superuser.execute("select tests.make_api_key('a')")
        superuser.execute("update limena.session_uses set last_seen_at = now() - interval '1 hour'")
        superuser.execute(
            "insert into limena.invitations (tenant_id, email, role, token_hash, invited_by)"
            " values (tests.tenant_id('a'), 'new@x.example', 'member', sha256('token'), tests.user_id('a', 'owner'))"
        )
    return made


@pytest.fixture
def other(database: Database) -> Iterator[Connection]:
    """Who got there first: a superuser inside a transaction, which is rolled back unless the test commits it."""
    with database.connect(autocommit=False) as connection:
        yield connection
        connection.rollback()


def impatient(database: Database, role: str) -> Connection:
    """A connection whose statements fail rather than wait."""
    connection = database.connect(role)
    connection.execute("set lock_timeout = '100ms'")
    return connection


@pytest.mark.parametrize("credential", ENTER)
@pytest.mark.parametrize("locked", LOCKED)
def test_entering_waits_for_nobody(
    database: Database, other: Connection, credential: str, locked: LiteralString
) -> None:
    other.execute(locked)
    with impatient(database, "limena_app") as app:
        assert app.execute(ENTER[credential]).fetchone() == (True,)


@pytest.mark.parametrize("credential", ENTER)
def test_two_who_enter_at_once_write_one_use(database: Database, credential: str) -> None:
    """The first holds the row of uses, which is due; the second neither waits for it nor writes it again."""
    seen = "select max(last_seen_at), max(last_used_at) from limena.session_uses cross join limena.api_key_uses"
    with impatient(database, "limena_app") as first, impatient(database, "limena_app") as second:
        first.execute("begin")
        first.execute(ENTER[credential])
        second.execute("begin")
        second.execute(ENTER[credential])
        first.execute("commit")
        with database.connect() as superuser:
            written = superuser.execute(seen).fetchone()
            assert written is not None
            second.execute("commit")
            assert superuser.execute(seen).fetchone() == written


@pytest.mark.parametrize("credential", ENTER)
def test_an_open_transaction_does_not_outlast_a_revocation(
    database: Database, other: Connection, credential: str
) -> None:
    """Whoever enters anew, even in a transaction that began before, sees what has been committed since."""
    with impatient(database, "limena_app") as app:
        app.execute("begin")
        app.execute(ENTER[credential])
        other.execute("update limena.sessions set ended_at = now()")
        other.execute("update limena.api_keys set revoked_at = now()")
        other.commit()
        with pytest.raises(errors.InvalidAuthorizationSpecification):
            app.execute(ENTER[credential])


def test_a_key_is_good_as_soon_as_it_is_committed(database: Database) -> None:
    create = "select limena.create_api_key('new', '{ai:use}', 'lmn_000000', '0000', sha256('new'))"
    enter = "select limena.enter_api_key(sha256('new'))"
    with database.connect("limena_app") as app, database.connect("limena_app") as program:
        with app.transaction():
            app.execute(ENTER["session"])
            app.execute(create)
            with pytest.raises(errors.InvalidAuthorizationSpecification):
                program.execute(enter)
        assert program.execute(enter).fetchone() == (True,)


def test_a_password_change_waits_for_a_log_in_under_way(database: Database) -> None:
    """Else a session would be opened with the old password, after its change has ended them all."""
    log_in = (
        "select limena.log_in(tests.user_id('a', 'owner'), %s, sha256('secret'), sha256('refresh'))",
        [PASSWORD],
    )
    with impatient(database, "limena_auth") as auth, impatient(database, "postgres") as superuser:
        auth.execute("begin")
        auth.execute(*log_in)
        with pytest.raises(errors.LockNotAvailable):
            superuser.execute("update limena.users set password_hash = %s", [PASSWORD.replace(".", "/")])
        auth.execute("commit")
        superuser.execute("update limena.users set password_hash = %s", [PASSWORD.replace(".", "/")])
        with pytest.raises(errors.InvalidAuthorizationSpecification):
            auth.execute(*log_in)


def test_two_log_ins_do_not_wait_for_each_other(database: Database) -> None:
    log_in = "select limena.log_in(tests.user_id('a', 'owner'), %s, sha256(%s), sha256(%s))"
    with impatient(database, "limena_auth") as first, impatient(database, "limena_auth") as second:
        first.execute("begin")
        first.execute(log_in, [PASSWORD, b"1", b"2"])
        second.execute(log_in, [PASSWORD, b"3", b"4"])
        first.execute("commit")


def test_an_invitation_is_accepted_once(database: Database) -> None:
    """Two who show one token at the same moment: the second waits for the first, and then there is no invitation."""
    accept = "select limena.accept_invitation(sha256('token'), %s, 'New')"
    outcome: list[object] = []

    def second() -> None:
        with database.connect("limena_auth") as auth:
            try:
                outcome.append(auth.execute(accept, [PASSWORD]).fetchone())
            except psycopg.Error as error:
                outcome.append(error.sqlstate)

    with database.connect("limena_auth") as first, database.connect() as superuser:
        first.execute("begin")
        first.execute(accept, [PASSWORD])
        waiting = threading.Thread(target=second)
        waiting.start()
        while (
            waiting.is_alive()
            and superuser.execute(
                "select from pg_stat_activity"
                " where datname = current_database() and usename = 'limena_auth' and wait_event_type = 'Lock'"
            ).fetchone()
            is None
        ):
            pass
        first.execute("commit")
        waiting.join()
        assert outcome == ["P0002"]
        assert superuser.execute("select count(*) from limena.users where email = 'new@x.example'").fetchone() == (1,)


def test_two_workers_make_each_month_once(database: Database) -> None:
    """The second waits until the first is done, and finds nothing to do."""
    made: list[object] = []

    def second() -> None:
        with database.connect("limena_maintenance") as worker:
            made.append(worker.execute("select limena.ensure_partitions(12)").fetchone())

    with database.connect("limena_maintenance") as first, database.connect() as superuser:
        first.execute("begin")
        assert first.execute("select limena.ensure_partitions(12)").fetchone() == (18,), "nine months of two tables"
        waiting = threading.Thread(target=second)
        waiting.start()
        while (
            waiting.is_alive()
            and superuser.execute(
                "select from pg_stat_activity"
                " where datname = current_database() and usename = 'limena_maintenance' and wait_event_type = 'Lock'"
            ).fetchone()
            is None
        ):
            pass
        first.execute("commit")
        waiting.join()
        assert made == [(0,)]


def test_writers_go_on_while_a_month_is_made(database: Database) -> None:
    """ATTACH takes a lock that lets others write; CREATE TABLE … PARTITION OF and a DEFAULT partition would not."""
    with database.connect("limena_maintenance") as worker, impatient(database, "limena_app") as app:
        worker.execute("begin")
        worker.execute("select limena.ensure_partitions(12)")
        app.execute("begin")
        app.execute(ENTER["session"])
        app.execute("select limena.create_api_key('new', '{ai:use}', 'lmn_000000', '0000', sha256('new'))")
        app.execute("commit")
        worker.execute("commit")
