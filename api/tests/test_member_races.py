"""Two things at once, over two real connections: whatever happens is what some order of one after the other gives.
Nothing is timed: one transaction is held open, the other one seen to wait for it, or to finish beside it."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from support.databases import Database

Connection = psycopg.Connection[tuple[Any, ...]]
CHANGE: LiteralString = "select limena.change_member_role(tests.user_id('a', %s), %s)"
REMOVE: LiteralString = "select limena.remove_member(tests.user_id('a', %s))"
ACCEPT: LiteralString = "select limena.accept_invitation(sha256('open'), '$2b$04$' || repeat('.', 53), 'New')"
MAKE: LiteralString = """
    select limena.create_api_key('raced', '{api_keys:write, api_keys:read}', 'lmn_abcdef', '0000', sha256('raced'))
"""
FREEZE: LiteralString = "select limena_private.freeze_tenant(tests.tenant_id('a'), 'a race')"


class Scene:
    """A database of its own with tenant `a`, in which `viewer` is a second owner."""

    def __init__(self, database: Database, stack: ExitStack) -> None:
        self.database = database
        self._stack = stack
        self._threads = stack.enter_context(ThreadPoolExecutor(4))
        self.watcher = stack.enter_context(database.connect())
        self.watcher.execute("select tests.make_tenants()")
        self.watcher.execute(
            "update limena.memberships set role = 'owner' where user_id = tests.user_id('a', 'viewer')"
        )
        self.watcher.execute("select tests.make_api_key('a')")

    def open(self, user: str = "limena_app") -> Connection:
        """A connection on which a transaction begins with the first statement."""
        return self._stack.enter_context(self.database.connect(user, autocommit=False))

    def enter(self, role: str) -> Connection:
        connection = self.open()
        connection.execute("select tests.enter_as('a', %s)", [role])
        return connection

    def waiting(self, connection: Connection, statement: LiteralString, *values: object) -> "Future[str]":
        """Starts a statement that has to wait for somebody; returns once it does."""
        running = self._threads.submit(outcome, connection, statement, *values)
        while not running.done():
            row = self.watcher.execute(
                "select wait_event_type from pg_stat_activity where pid = %s", [connection.info.backend_pid]
            ).fetchone()
            if row == ("Lock",):
                return running
        raise AssertionError(f"it did not wait: {running.result()}")

    def role(self, name: str) -> str | None:
        row = self.watcher.execute(
            "select role::text from limena.memberships where tenant_id = tests.tenant_id('a') "
            "and user_id = tests.user_id('a', %s)",
            [name],
        ).fetchone()
        found: str | None = row[0] if row else None
        return found

    def owners(self) -> int:
        row = self.watcher.execute(
            "select count(*) from limena.memberships where tenant_id = tests.tenant_id('a') and role = 'owner'"
        ).fetchone()
        assert row is not None
        count: int = row[0]
        return count


def outcome(connection: Connection, statement: LiteralString, *values: object) -> str:
    """`done`, committed, or the SQLSTATE, rolled back."""
    try:
        connection.execute(statement, values)
    except psycopg.Error as error:
        connection.rollback()
        return error.sqlstate or "lost"
    connection.commit()
    return "done"


@pytest.fixture
def scene(fresh_database: Callable[[], Database]) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(fresh_database(), stack)


def test_two_owners_who_go_at_once_leave_one(scene: Scene) -> None:
    """Each sees another owner, and each goes: only under one lock is there always one left."""
    first, second = scene.enter("owner"), scene.enter("viewer")
    first.execute(REMOVE, ["owner"])
    running = scene.waiting(second, REMOVE, "viewer")
    first.commit()
    assert running.result() == "LM002"
    assert (scene.role("owner"), scene.role("viewer")) == (None, "owner")


def test_two_owners_who_lower_each_other_leave_one(scene: Scene) -> None:
    first, second = scene.enter("owner"), scene.enter("viewer")
    first.execute(CHANGE, ["viewer", "admin"])
    running = scene.waiting(second, CHANGE, "owner", "member")
    first.commit()
    assert running.result() == "42501", "asked again after the lock: an owner no more"
    assert (scene.role("owner"), scene.role("viewer")) == ("owner", "admin")


def test_an_owner_whose_rival_changed_their_mind_goes(scene: Scene) -> None:
    first, second = scene.enter("owner"), scene.enter("viewer")
    first.execute(REMOVE, ["owner"])
    running = scene.waiting(second, REMOVE, "viewer")
    first.rollback()
    assert running.result() == "done"
    assert scene.owners() == 1


def test_ownership_passed_on_twice_at_once(scene: Scene) -> None:
    """The second one's owner has passed theirs on already, and still holds what their context was sealed with."""
    scene.watcher.execute("update limena.memberships set role = 'viewer' where user_id = tests.user_id('a', 'viewer')")
    first, second = scene.enter("owner"), scene.enter("owner")
    pass_on: LiteralString = "select limena.transfer_ownership(tests.user_id('a', %s))"
    first.execute(pass_on, ["admin"])
    running = scene.waiting(second, pass_on, "member")
    first.commit()
    running.result()
    assert scene.owners() >= 1
    assert scene.role("owner") == "admin"


@pytest.mark.parametrize(("does_commit", "second"), [(True, "P0002"), (False, "done")])
def test_an_invitation_that_two_accept_counts_once(scene: Scene, does_commit: bool, second: str) -> None:
    scene.watcher.execute(
        "insert into limena.invitations (tenant_id, email, role, token_hash, invited_by) "
        "values (tests.tenant_id('a'), 'new@a.example', 'member', sha256('open'), tests.user_id('a', 'owner'))"
    )
    one, other = scene.open("limena_auth"), scene.open("limena_auth")
    one.execute(ACCEPT)
    running = scene.waiting(other, ACCEPT)
    if does_commit:
        one.commit()
    else:
        one.rollback()
    assert running.result() == second
    row = scene.watcher.execute(
        "select count(*) from limena.memberships as m join limena.users as u on m.user_id = u.id "
        "where u.email = 'new@a.example'"
    ).fetchone()
    assert row == (1,)


def test_an_invitation_of_someone_who_is_just_removed(scene: Scene) -> None:
    """Accepted before or after: never with the rights of someone who is gone."""
    scene.watcher.execute(
        "insert into limena.invitations (tenant_id, email, role, token_hash, invited_by) "
        "values (tests.tenant_id('a'), 'new@a.example', 'member', sha256('open'), tests.user_id('a', 'admin'))"
    )
    remover, joiner = scene.enter("owner"), scene.open("limena_auth")
    remover.execute(REMOVE, ["admin"])
    running = scene.waiting(joiner, ACCEPT)
    remover.commit()
    assert running.result() == "P0002"


def test_a_key_is_revoked_while_it_is_used(scene: Scene) -> None:
    """Nothing that a key does delays its revocation; what it had begun before counts, and nothing after."""
    user, revoker = scene.open(), scene.enter("owner")
    user.execute("select tests.enter_with_key('a')")
    user.execute(MAKE)
    revoke: LiteralString = "select limena.revoke_api_key(tests.api_key_id('a'))"
    assert outcome(revoker, revoke) == "done"
    user.commit()
    assert outcome(user, "select tests.enter_with_key('a')") == "28000"


def test_a_role_is_lowered_in_the_middle_of_a_request(scene: Scene) -> None:
    """The request was there before: what it did counts. A key that it made is worth what its creator is, nothing."""
    admin, owner = scene.enter("admin"), scene.enter("owner")
    admin.execute(MAKE)
    assert outcome(owner, CHANGE, "admin", "viewer") == "done"
    admin.commit()
    assert outcome(scene.enter("admin"), MAKE) == "42501"
    key = scene.open()
    key.execute("select limena.enter_api_key(sha256('raced'))")
    assert key.execute("select limena.current_permissions()").fetchone() == ([],)


def test_a_member_is_removed_in_the_middle_of_a_request(scene: Scene) -> None:
    admin, owner = scene.enter("admin"), scene.enter("owner")
    admin.execute(MAKE)
    assert outcome(owner, REMOVE, "admin") == "done"
    admin.commit()
    assert outcome(scene.open(), "select tests.enter_as('a', 'admin')") == "28000"
    # The key was made before the removal saw it; with its creator gone it opens nothing.
    assert outcome(scene.open(), "select limena.enter_api_key(sha256('raced'))") == "28000"


def test_a_tenant_is_frozen_while_a_key_is_made(scene: Scene) -> None:
    """Freezing does not wait for it: the key was made before, and the next one is not."""
    admin, platform = scene.enter("admin"), scene.open("postgres")
    admin.execute(MAKE)
    assert outcome(platform, FREEZE) == "done"
    admin.commit()
    assert outcome(scene.enter("admin"), MAKE) == "LM001"


@pytest.mark.parametrize(("does_commit", "then"), [(True, "LM001"), (False, "done")])
def test_a_role_changes_while_the_tenant_is_frozen(scene: Scene, does_commit: bool, then: str) -> None:
    """Who belongs to a tenant is settled under the lock that freezing takes: strictly before or after."""
    owner, platform = scene.enter("owner"), scene.open("postgres")
    platform.execute(FREEZE)
    running = scene.waiting(owner, CHANGE, "admin", "viewer")
    if does_commit:
        platform.commit()
    else:
        platform.rollback()
    assert running.result() == then
    assert scene.role("admin") == ("admin" if does_commit else "viewer")


def test_a_deleted_tenant_is_restored_while_it_is_erased(scene: Scene) -> None:
    """Erased or restored, never half of each; and two workers do not take the same one."""
    scene.watcher.execute(
        "update limena.tenants set state = 'deleting', deletion_due_at = now() - interval '1 second' "
        "where id = tests.tenant_id('a')"
    )
    erase: LiteralString = "select limena.erase_tenants()"
    worker, second, owner = scene.open("limena_maintenance"), scene.open("limena_maintenance"), scene.enter("owner")
    assert worker.execute(erase).fetchone() == (1,)
    assert second.execute(erase).fetchone() == (0,), "it is taken, and nobody waits for it"
    running = scene.waiting(owner, "select limena.restore_tenant()")
    worker.commit()
    assert running.result() == "28000"
    assert scene.role("owner") is None


@pytest.mark.parametrize(
    "call",
    [
        "select limena.change_member_role(tests.user_id('a', 'member'), 'owner')",
        "select limena.remove_member(tests.user_id('a', 'member'))",
        "select limena.remove_member(tests.user_id('a', 'viewer'))",
        "select limena.transfer_ownership(tests.user_id('a', 'member'))",
        "select limena.delete_tenant('Tenant a')",
        "select limena.update_tenant('Mine')",
    ],
)
@pytest.mark.parametrize(("by", "then"), [(REMOVE, "28000"), (CHANGE, "42501")])
def test_who_waits_is_what_they_are_afterwards(scene: Scene, call: LiteralString, by: LiteralString, then: str) -> None:
    """`viewer`, an owner, is removed or lowered while a call of theirs waits for just that."""
    owner, rival = scene.enter("owner"), scene.enter("viewer")
    owner.execute(by, ["viewer"] if by is REMOVE else ["viewer", "member"])
    running = scene.waiting(rival, call)
    owner.commit()
    leaves = by is CHANGE and "'viewer'" in call
    assert running.result() == ("done" if leaves else then)
    assert scene.role("member") == "member"


@pytest.mark.parametrize(
    "end",
    [
        "update limena.sessions set ended_at = now() where secret_hash = tests.session_hash('a', 'viewer')",
        "update limena.tenants set state = 'frozen' where id = tests.tenant_id('a')",
    ],
)
def test_who_waits_has_the_session_and_the_tenant_of_afterwards(scene: Scene, end: LiteralString) -> None:
    owner, rival = scene.enter("owner"), scene.enter("viewer")
    owner.execute(CHANGE, ["admin", "member"])
    running = scene.waiting(rival, CHANGE, "member", "owner")
    if "sessions" in end:
        scene.watcher.execute(end)
        owner.commit()
        assert running.result() == "28000"
    else:
        frozen = scene.waiting(scene.open("postgres"), end)
        owner.commit()
        assert {running.result(), frozen.result()} <= {"LM001", "done"}
    assert scene.role("admin") == "member"


def test_a_key_that_waits_is_what_it_is_afterwards(scene: Scene) -> None:
    scene.watcher.execute("select tests.make_api_key('a', 'own', '{members:write, tenant:own, members:read}')")
    owner, program = scene.enter("owner"), scene.open()
    owner.execute(CHANGE, ["admin", "member"])
    program.execute("select tests.enter_with_key('a', 'own')")
    running = scene.waiting(program, "select limena.remove_member(tests.user_id('a', 'member'))")
    scene.watcher.execute("update limena.api_keys set revoked_at = now() where id = tests.api_key_id('a', 'own')")
    owner.commit()
    assert running.result() == "28000"


def test_a_key_that_was_being_made_does_not_come_back_with_its_creator(scene: Scene) -> None:
    """Removed in between, and invited again: what was made by whoever left stays gone. Nothing waits for it."""
    admin, owner = scene.enter("admin"), scene.enter("owner")
    admin.execute(MAKE)
    assert outcome(owner, REMOVE, "admin") == "done"
    admin.commit()
    scene.watcher.execute(
        "insert into limena.memberships (tenant_id, user_id, role) "
        "values (tests.tenant_id('a'), tests.user_id('a', 'admin'), 'admin')"
    )
    assert outcome(scene.open(), "select tests.enter_as('a', 'admin')") == "done"
    assert outcome(scene.open(), "select limena.enter_api_key(sha256('raced'))") == "28000"


REVOKE_ALL: dict[str, tuple[str, LiteralString]] = {
    "limena_app": ("owner", "select limena.revoke_all_api_keys()"),
    "postgres": ("", "select limena_private.revoke_api_keys(tests.tenant_id('a'), 'a leak')"),
}


@pytest.mark.parametrize("user", REVOKE_ALL)
def test_a_key_that_was_being_made_is_revoked_with_all(scene: Scene, user: str) -> None:
    """By the leaked key itself. Made before, and committed after: nothing waits for it, and it opens nothing."""
    role, revoke_all = REVOKE_ALL[user]
    thief, revoker = scene.open(), scene.enter(role) if role else scene.open(user)
    thief.execute("select tests.enter_with_key('a')")
    thief.execute(MAKE)
    assert outcome(revoker, revoke_all) == "done"
    thief.commit()
    assert outcome(scene.open(), "select limena.enter_api_key(sha256('raced'))") == "28000"


@pytest.mark.parametrize("user", REVOKE_ALL)
def test_a_key_that_is_made_while_all_are_revoked(scene: Scene, user: str) -> None:
    """Its maker waits, and is asked again. Whoever may go on has a key that works."""
    role, revoke_all = REVOKE_ALL[user]
    revoker = scene.enter(role) if role else scene.open(user)
    revoker.execute(revoke_all)
    thief, admin = scene.open(), scene.enter("admin")
    thief.execute("select tests.enter_with_key('a')")
    stolen = scene.waiting(thief, MAKE)
    honest = scene.waiting(
        admin,
        "select limena.create_api_key('new', '{api_keys:read}', 'lmn_abcdef', '0000', sha256('honest'))",
    )
    revoker.commit()
    assert (stolen.result(), honest.result()) == ("28000", "done")
    assert outcome(scene.open(), "select limena.enter_api_key(sha256('honest'))") == "done"


def test_no_lock_of_ones_own_delays_a_removal_or_a_freeze(scene: Scene) -> None:
    """Rows of tenants, sessions and keys are not for limena_app to lock."""
    for table in ("tenants", "sessions", "api_keys", "memberships"):
        admin = scene.enter("admin")
        for strength in ("key share", "share", "no key update", "update"):
            assert outcome(admin, f"select from limena.{table} for {strength}") in ("42501", "25P02")


def test_two_rotations_of_one_key_make_one_successor(scene: Scene) -> None:
    rotate: LiteralString = "select limena.rotate_api_key(tests.api_key_id('a'), 'lmn_abcdef', '0000', %s)"
    first, second = scene.enter("owner"), scene.enter("owner")
    first.execute(rotate, [hashlib.sha256(b"1").digest()])
    running = scene.waiting(second, rotate, hashlib.sha256(b"2").digest())
    first.commit()
    assert running.result() == "LM002"
    row = scene.watcher.execute("select count(*) from limena.api_keys").fetchone()
    assert row == (2,)


def test_a_rated_key_is_counted_exactly_over_many_connections(scene: Scene) -> None:
    """Four connections that do nothing but count: as many calls as the rate allows, and no more."""
    scene.watcher.execute("update limena.api_keys set calls_per_minute = 50")
    key_hash = scene.watcher.execute("select tests.key_hash('a')").fetchone()
    assert key_hash is not None

    def hammer(_number: int) -> int:
        with scene.database.connect("limena_app") as connection:
            granted = 0
            for _ in range(40):
                call: UUID = uuid4()
                try:
                    connection.execute("select limena.count_api_key_call(%s, %s)", [key_hash[0], call])
                    granted += 1
                except psycopg.DatabaseError as error:
                    if error.sqlstate != "LM004":
                        raise
            return granted

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(hammer, range(4))) == 50
