"""`limena master-key generate` and `rotate`: files that are never overwritten, a rotation that can stop anywhere, and a
doctor who says what is left."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from limena import master_key_rotation
from limena.cli import main
from limena.doctor import describe_master_keys, find_problems
from limena.master_key_files import new_entry
from limena.master_key_rotation import Rotation
from limena.vault import MasterKeys, Place, Sealed, Secret, TextSource, Vault
from support.databases import Database

OLD, NEW = new_entry(1), new_entry(2)


class Tenant:
    """A tenant with as many connected providers as are wanted, sealed under the first key."""

    def __init__(self, database: Database, providers: int, keys: str = OLD) -> None:
        self.database = database
        self.id, self.user = uuid4(), uuid4()
        self.salt = os.urandom(32)
        vault = Vault(TextSource(keys))
        with database.connect() as connection:
            connection.execute("insert into limena.tenants (id, name) values (%s, 'Rotated')", [self.id])
            connection.execute(
                "insert into limena.users (id, email, display_name, password_hash) values (%s, %s, 'x', %s)",
                [self.user, f"{self.user.hex}@x.example", "$2b$04$" + "." * 53],
            )
            connection.execute("insert into limena_private.tenant_salts values (%s, %s)", [self.id, self.salt])
            for number in range(providers):
                integration = uuid4()
                connection.execute(
                    "insert into limena.integrations (tenant_id, id, provider, changed_by, connected_at)"
                    " values (%s, %s, %s, %s, now())",
                    [self.id, integration, f"provider-{number}", self.user],
                )
                sealed = vault.seal(self.secret(integration), Place(self.id, integration, "secret"), self.salt)
                connection.execute(
                    "insert into limena.integration_credentials"
                    " (tenant_id, integration_id, field, key_version, ciphertext) values (%s, %s, 'secret', %s, %s)",
                    [self.id, integration, sealed.key_version, sealed.ciphertext],
                )

    @staticmethod
    def secret(integration: UUID) -> Secret:
        return Secret(f"marked-{integration}")

    def versions(self) -> dict[int, int]:
        with self.database.connect() as connection:
            rows = connection.execute(
                "select key_version, count(*) from limena.integration_credentials where tenant_id = %s group by 1",
                [self.id],
            ).fetchall()
        return dict(rows)

    def check(self, keys: str) -> None:
        """Every credential opens, to what it was."""
        vault = Vault(TextSource(keys))
        with self.database.connect() as connection:
            rows = connection.execute(
                "select integration_id, key_version, ciphertext from limena.integration_credentials"
                " where tenant_id = %s",
                [self.id],
            ).fetchall()
        assert rows
        for integration, version, ciphertext in rows:
            place = Place(self.id, integration, "secret")
            assert vault.open(Sealed(version, ciphertext), place, self.salt) == self.secret(integration)


@pytest.fixture
def database(fresh_database: Callable[[], Database]) -> Database:
    return fresh_database()


def rotate(database: Database, keys: str) -> Rotation:
    return master_key_rotation.rotate(
        database.dsn("limena_maintenance"), Vault(TextSource(keys)), progress=lambda done, total: None
    )


def test_everything_is_sealed_anew_and_the_old_key_can_go(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master_key_rotation, "BATCH", 4)  # several batches, one of them half full
    first, second = Tenant(database, 10), Tenant(database, 3)
    with database.connect() as connection:  # code verifiers, too
        vault = Vault(TextSource(OLD))
        flow, session = uuid4(), uuid4()
        connection.execute(
            "insert into limena.sessions (id, user_id, secret_hash) values (%s, %s, sha256('x'))", [session, first.user]
        )
        sealed = vault.seal(Secret("verifier"), Place(first.id, flow, "code_verifier"), first.salt)
        connection.execute(
            "insert into limena.integration_flows"
            " (tenant_id, id, provider, session_id, user_id, state_hash, key_version, ciphertext)"
            " values (%s, %s, 'oidc', %s, %s, sha256('s'), 1, %s)",
            [first.id, flow, session, first.user, sealed.ciphertext],
        )
    told: list[tuple[int, int]] = []
    done = master_key_rotation.rotate(
        database.dsn("limena_maintenance"),
        Vault(TextSource(f"{NEW} {OLD}")),
        progress=lambda done, total: told.append((done, total)),
    )
    assert done == Rotation(version=2, resealed=14, unreadable=0)
    assert told[0] == (0, 14)
    assert told[-1] == (14, 14)
    for tenant in (first, second):
        assert tenant.versions().keys() == {2}
        tenant.check(NEW)
    assert rotate(database, f"{NEW} {OLD}") == Rotation(2, 0, 0), "a second run has nothing to do"
    with database.connect() as connection:
        versions = connection.execute("select * from limena.credential_key_versions()").fetchall()
        events = connection.execute(
            "select action, details from limena.audit_logs where action like 'master_key.%' order by seq"
        ).fetchall()
        resealed = connection.execute(
            "select tenant_id, count(*) from limena.audit_logs where action = 'integration_credential.resealed'"
            " group by tenant_id"
        ).fetchall()
    assert versions == [(2, 14)]
    assert events == [("master_key.rotation_begun", {}), ("master_key.rotated", {"resealed": 14, "unreadable": 0})]
    assert dict(resealed) == {first.id: 10, second.id: 3}, "each tenant finds it in its own log"


def test_what_does_not_open_stays_as_it_is(database: Database) -> None:
    tenant, lost = Tenant(database, 3), Tenant(database, 2, keys=new_entry(1))
    shredded = Tenant(database, 1)
    with database.connect() as connection:
        connection.execute("delete from limena_private.tenant_salts where tenant_id = %s", [shredded.id])
        before = connection.execute(
            "select ciphertext from limena.integration_credentials where tenant_id = any(%s) order by 1",
            [[lost.id, shredded.id]],
        ).fetchall()
    assert rotate(database, f"{NEW} {OLD}") == Rotation(2, 3, 3)
    assert tenant.versions() == {2: 3}
    assert lost.versions() == {1: 2}
    with database.connect() as connection:
        after = connection.execute(
            "select ciphertext from limena.integration_credentials where tenant_id = any(%s) order by 1",
            [[lost.id, shredded.id]],
        ).fetchall()
    assert after == before


def test_a_run_that_was_cut_off_is_completed_by_the_next(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master_key_rotation, "BATCH", 3)
    tenant = Tenant(database, 10)

    class Killed(Exception): ...

    def kill(done: int, total: int) -> None:
        if done >= 6:
            raise Killed

    with pytest.raises(Killed):
        master_key_rotation.rotate(database.dsn("limena_maintenance"), Vault(TextSource(f"{NEW} {OLD}")), progress=kill)
    assert tenant.versions() == {1: 4, 2: 6}
    tenant.check(f"{OLD} {NEW}")
    assert rotate(database, f"{NEW} {OLD}").resealed == 4
    tenant.check(NEW)


def test_what_changes_meanwhile_is_left_to_its_change(database: Database) -> None:
    """Between reading a batch and writing it, somebody connects anew: theirs stays."""
    tenant = Tenant(database, 5)
    vault = Vault(TextSource(f"{OLD} {NEW}"))

    class Slow(Vault):
        """Connects one integration anew, as another process would, before the batch is written."""

        done = False

        def seal(self, secret: Secret, place: Place, salt: bytes) -> Sealed:
            if not self.done:
                self.done = True
                fresh = vault.seal(Tenant.secret(place.integration_id), place, salt)
                with database.connect() as connection:
                    connection.execute(
                        "update limena.integration_credentials set ciphertext = %s where integration_id = %s",
                        [fresh.ciphertext, place.integration_id],
                    )
            return super().seal(secret, place, salt)

    done = master_key_rotation.rotate(
        database.dsn("limena_maintenance"), Slow(TextSource(f"{NEW} {OLD}")), progress=lambda done, total: None
    )
    assert done.resealed == 5, "the one that changed, in the next round"
    tenant.check(NEW)


def test_nobody_else_rotates(database: Database) -> None:
    for role in ("limena_app", "limena_auth", "limena_readonly"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            master_key_rotation.rotate(database.dsn(role), Vault(TextSource(NEW)), progress=lambda done, total: None)


# The command


def test_a_file_is_made_and_added_to_and_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "master-keys"
    assert main(["master-key", "generate", "--out", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = MasterKeys.parse(path.read_text())
    assert (first.current, set(first.keys)) == (1, {1})
    text = path.read_text()
    assert main(["master-key", "generate", "--out", str(path)]) == 1
    assert path.read_text() == text
    assert main(["master-key", "generate", "--out", str(path), "--add"]) == 0
    both = MasterKeys.parse(path.read_text())
    assert (both.current, set(both.keys)) == (1, {1, 2}), "a new key encrypts nothing yet"
    assert both.keys[1] == first.keys[1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert main(["master-key", "generate", "--out", str(tmp_path / "none"), "--add"]) == 1
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert main(["master-key", "generate", "--out", str(link)]) == 1
    told = capsys.readouterr()
    for line in path.read_text().split():
        assert line.partition(":")[2] not in told.out + told.err


def test_the_command_rotates_and_the_doctor_says_what_is_left(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Tenant(database, 3)
    environment = {"LIMENA_ENV": "development", "LIMENA_MAINTENANCE_DSN": database.dsn("limena_maintenance")}

    def doctor(keys: str) -> list[str]:
        problems = find_problems(environment | {"LIMENA_MASTER_KEYS": keys})
        notes = describe_master_keys(environment | {"LIMENA_MASTER_KEYS": keys})
        return [one for one in problems if one.startswith("vault:")] + notes

    assert doctor(OLD) == []
    assert doctor(NEW) == [
        "vault: 3 credentials are encrypted with version 1 of the master key, which is not configured"
    ]
    assert doctor(f"{NEW} {OLD}") == [
        "vault: 3 credentials are encrypted with version 1 of the master key: run limena master-key rotate",
        "master keys: version 2 encrypts 0 credentials, and new ones",
        "master keys: version 1 encrypts 3 credentials",
    ]
    for name, value in (environment | {"LIMENA_MASTER_KEYS": f"{NEW} {OLD}"}).items():
        monkeypatch.setenv(name, value)
    assert main(["master-key", "rotate"]) == 0
    told = capsys.readouterr()
    assert told.out == "3 encrypted anew with version 2.\n"
    assert "3 of 3" in told.err, "the progress bar"
    assert main(["master-key", "rotate"]) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert doctor(f"{NEW} {OLD}") == [
        "master keys: version 2 encrypts 3 credentials, and new ones",
        "master keys: version 1 is in no row",
    ]
    Tenant(database, 2, keys=new_entry(1))
    assert main(["master-key", "rotate"]) == 1
    assert "2 cannot be opened with any key" in capsys.readouterr().out
