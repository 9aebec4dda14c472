"""Rotating the keys that sign tokens: the files, and that no valid token is refused in any state of a rolling
restart."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from limena import jwt_key_files
from limena.cli import main
from limena.config import Settings
from limena.jwt_key_files import JwtKeyError
from limena.private_files import write_private
from limena.tokens import (
    KeyRing,
    SigningKey,
    issue_access_token,
    issue_refresh_token,
    new_private_key,
    new_session_secret,
    verify_access_token,
    verify_refresh_token,
)
from support.api import Api
from support.csrf import HEADER, TLS, token_for
from support.people import register

ISSUER = "https://limena.example.com"
EIGHT_DAYS = 8 * 24 * 3600


class Files:
    def __init__(self, folder: Path) -> None:
        self.key, self.following, self.previous = folder / "key.pem", folder / "next.pem", folder / "previous.pem"

    def rotate(self, *more: str) -> int:
        arguments = ["--key", str(self.key), "--next", str(self.following), "--previous", str(self.previous), *more]
        return main(["jwt-key", "rotate", *arguments])

    def environment(self) -> dict[str, str]:
        paths = {"": self.key, "PREVIOUS_": self.previous, "NEXT_": self.following}
        return {f"LIMENA_JWT_{name}KEY_FILE": str(path) for name, path in paths.items() if path.exists()}

    def ring(self) -> KeyRing:
        """That of a process that starts now."""
        env = {
            "LIMENA_ENV": "development",
            "LIMENA_APP_DSN": "dbname=x",
            "LIMENA_AUTH_DSN": "dbname=x",
            "LIMENA_BASE_URL": ISSUER,
            "LIMENA_SECRET_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "LIMENA_MASTER_KEYS": "1:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
        }
        return KeyRing.from_settings(Settings.from_env(env | self.environment()))

    def kids(self) -> list[str | None]:
        paths = (self.previous, self.key, self.following)
        return [SigningKey.from_pem(path.read_text()).kid if path.exists() else None for path in paths]

    def age(self) -> None:
        """As if the last rotation were eight days ago."""
        before = self.previous.stat().st_mtime - EIGHT_DAYS
        os.utime(self.previous, (before, before))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path)
    assert main(["jwt-key", "generate", "--out", str(made.key)]) == 0
    return made


def test_a_new_key_is_private_strong_and_never_overwrites(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert files.key.stat().st_mode & 0o777 == 0o600
    before = files.key.read_text()
    assert SigningKey.from_pem(before).public_key.key_size == 3072
    assert main(["jwt-key", "generate", "--out", str(files.key)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert files.key.read_text() == before
    files.following.symlink_to(files.previous)  # dangling
    assert main(["jwt-key", "generate", "--out", str(files.following)]) == 1


def test_the_first_run_prepares_and_each_later_one_rotates(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    _, first, _ = files.kids()
    assert files.rotate() == 0
    previous, current, following = files.kids()
    assert (previous, current) == (None, first)
    assert following not in (None, first)
    told = capsys.readouterr().out
    assert "LIMENA_JWT_NEXT_KEY_FILE" in told
    assert "run this again" in told
    assert files.rotate() == 0
    assert files.kids()[:2] == [first, following]
    assert len(set(files.kids())) == 3
    assert "LIMENA_JWT_PREVIOUS_KEY_FILE" in capsys.readouterr().out
    assert {path.stat().st_mode & 0o777 for path in (files.key, files.following, files.previous)} == {0o600}


def test_a_key_under_which_refresh_tokens_are_out_is_not_dropped(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [files.rotate(), files.rotate()] == [0, 0]
    before = files.kids()
    assert files.rotate() == 1
    assert "less than seven days ago" in capsys.readouterr().err
    assert files.kids() == before
    assert files.rotate("--force") == 0
    assert files.kids()[:2] == before[1:]
    files.age()
    assert files.rotate() == 0


@pytest.mark.parametrize("interrupted_after", [0, 1, 2])
def test_an_interrupted_rotation_is_completed(
    files: Files, monkeypatch: pytest.MonkeyPatch, interrupted_after: int
) -> None:
    """After each of its writes. No key is lost, and none is skipped."""
    assert files.rotate() == 0
    _, first, second = files.kids()
    write, done = write_private, list[Path]()

    def fail(path: Path, text: str, *, owner: os.stat_result | None = None) -> None:
        if len(done) == interrupted_after:
            raise KeyboardInterrupt
        done.append(path)
        write(path, text, owner=owner)

    monkeypatch.setattr(jwt_key_files, "write_private", fail)
    with pytest.raises(KeyboardInterrupt):
        jwt_key_files.rotate(files.key, following=files.following, previous=files.previous)
    monkeypatch.undo()
    assert {first, second} <= set(files.kids())
    assert files.rotate() == 0
    assert files.kids()[:2] == [first, second]
    assert files.kids()[2] not in (first, second, None)


def test_what_cannot_be_rotated_is_told(files: Files, tmp_path: Path) -> None:
    def rotate(key: Path, following: Path) -> None:
        jwt_key_files.rotate(key, following=following, previous=files.previous)

    with pytest.raises(JwtKeyError, match="three files"):
        rotate(files.key, files.key)
    with pytest.raises(JwtKeyError, match="cannot be read"):
        rotate(tmp_path / "nowhere.pem", files.following)
    files.following.write_text("no key")
    with pytest.raises(JwtKeyError, match=r"everyone|not an unencrypted private key"):
        rotate(files.key, files.following)
    files.key.chmod(0o644)
    with pytest.raises(JwtKeyError, match="everyone on this machine may read"):
        rotate(files.key, tmp_path / "new.pem")


def test_no_valid_token_is_refused_in_any_state_of_any_rolling_restart(files: Files) -> None:
    """Before and after each command there are processes that have restarted and processes that have not. Whatever one
    of them signs, each of them takes; so do the tokens that are still out from the state before."""
    states = [files.ring()]
    for _ in range(4):
        if files.previous.exists():
            files.age()
        assert files.rotate() == 0
        states.append(files.ring())
    secret, now = new_session_secret(), datetime.now(UTC)

    def access(keys: KeyRing) -> str:
        return issue_access_token(keys, issuer=ISSUER, user_id=uuid4(), tenant_id=None, session_secret=secret)

    def refresh(keys: KeyRing) -> str:
        return issue_refresh_token(
            keys,
            issuer=ISSUER,
            user_id=uuid4(),
            session_secret=secret,
            token_id="x" * 43,
            issued_at=now,
            expires_at=now + timedelta(days=7),
        )

    assert len({keys.current.kid for keys in states}) == 4, "the first run changes no key, the other three do"
    for old, new in itertools.pairwise(states):
        for signer, verifier in itertools.product((old, new), repeat=2):
            assert verify_access_token(verifier, access(signer), issuer=ISSUER).session_secret == secret
            assert verify_refresh_token(verifier, refresh(signer), issuer=ISSUER).session_secret == secret
            published = {key["kid"] for key in verifier.jwks()["keys"]}
            assert signer.current.kid in published, "whoever verifies by the key set knows it as well"


def test_a_rolling_restart_over_http(api: Api, start_api: Callable[..., Api], files: Files) -> None:
    """One process has restarted and the other has not: a session goes back and forth between them."""
    assert files.rotate() == 0

    def environment() -> dict[str, str]:
        return {"LIMENA_BASE_URL": ISSUER} | {
            name.removesuffix("_FILE"): Path(path).read_text() for name, path in files.environment().items()
        }

    old = start_api(api.database, api.demo, **environment())
    assert files.rotate() == 0
    new = start_api(api.database, api.demo, **environment())
    someone = register(old)
    cookie, served = someone.refresh_cookie, []
    for process in [new, old, new, new, old, old]:
        csrf = token_for(process.base_url, httpx.Headers({"Cookie": f"limena_refresh={cookie}"}))
        headers = {"Cookie": f"limena_refresh={cookie}; limena_csrf={csrf}", HEADER: csrf}
        answer = httpx.post(f"{process.base_url}/api/v1/auth/refresh", headers=headers, timeout=30, verify=TLS)
        assert answer.status_code == 200, answer.text
        cookie = answer.headers["set-cookie"].split(";")[0].removeprefix("limena_refresh=")
        for anyone in (old, new):
            bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            assert httpx.get(f"{anyone.base_url}/api/v1/me", headers=bearer, timeout=30, verify=TLS).status_code == 200
        served.append(answer.json()["access_token"].split(".")[0])
    assert len(set(served)) == 2, "two keys have signed"


def test_each_made_key_is_another() -> None:
    assert new_private_key() != new_private_key()
