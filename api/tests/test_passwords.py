"""Passwords: what is stored, what matches, and that nothing a row can hold makes a verification raise."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import bcrypt
import httpx
import pytest

from limena import passwords
from limena.passwords import HashingBusy, PasswordHasher, PasswordRefused, check_new_password
from support.live import Live

T = TypeVar("T")
COST = 4


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@asynccontextmanager
async def hasher(workers: int = 2, cost: int = COST) -> AsyncIterator[PasswordHasher]:
    made = PasswordHasher(cost, workers)
    try:
        yield made
    finally:
        made.close()


async def matches(password: str, other: str) -> bool:
    async with hasher() as made:
        return await made.verify(other, await made.hash(password))


def test_what_is_stored_is_bcrypt_over_the_labelled_hmac() -> None:
    async def work() -> str:
        async with hasher() as made:
            return await made.hash("correct horse battery staple")

    stored = run(work())
    assert stored.startswith(f"$2b$0{COST}$")
    assert len(stored) == 60
    digest = hmac.new(b"limena password v1", b"correct horse battery staple", hashlib.sha256).digest()
    assert bcrypt.checkpw(base64.b64encode(digest), stored.encode())
    # Not the bare SHA-256 that other systems store: a leaked one cannot be tried here.
    assert not bcrypt.checkpw(
        base64.b64encode(hashlib.sha256(b"correct horse battery staple").digest()), stored.encode()
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
def test_threads_that_hash_let_others_first() -> None:
    def priorities() -> dict[str, int]:
        return {name: os.getpriority(os.PRIO_PROCESS, int(name)) for name in os.listdir("/proc/self/task")}

    async def work() -> tuple[dict[str, int], dict[str, int]]:
        before = priorities()
        async with hasher() as made:
            await made.hash("correct horse battery staple")
            return before, priorities()

    before, during = run(work())
    hashing = during.keys() - before.keys()
    assert {during[name] for name in hashing} == {min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)}
    assert {name: during[name] for name in before.keys() & during.keys()} == before


@pytest.mark.parametrize(
    ("password", "other", "same"),
    [
        ("correct horse", "correct horse", True),
        ("correct horse", "correct horsf", False),
        ("correct horse", "Correct horse", False),
        ("correct horse", "correct horse ", False),
        ("x" * 72 + "a", "x" * 72 + "b", False),  # bcrypt alone would look at 72 bytes
        ("x" * 1024, "x" * 1024, True),
        ("x" * 1025, "x" * 1025, False),  # nothing longer is ever normalised
        ("nul\0first-------", "nul\0second------", False),
        ("", "", True),
        ("\u00e4pfel-und-birnen", "a\u0308pfel-und-birnen", True),  # one character, or letter and diaeresis
        ("square-\u00b2-metres", "square-2-metres", False),  # NFC, not NFKC: different keys, different characters
        ("\ud800 is no character", "\ud801 is no character", False),
        ("パスワードは秘密です", "パスワードは秘密です", True),
    ],
)
def test_what_matches(password: str, other: str, same: bool) -> None:
    assert run(matches(password, other)) is same


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "",
        "plain text",
        "correct horse",
        "$2b$04$",
        "$2b$04$" + "a" * 53,  # an impossible salt: bcrypt raises
        "$2b$04$" + "." * 52,
        "$2b$04$" + "." * 54,
        "$2b$31$" + "." * 53,  # would take days
        "$2b$03$" + "." * 53,
        "$2b$99$" + "." * 53,
        "$2a$04$" + "." * 53,
        "$2y$04$" + "." * 53,
        "$2b$04$" + "." * 52 + "\n",
        "$2b$04$" + "." * 52 + "é",
        "$2b$\u0660\u0664$" + "." * 53,
        "\ud800",
        "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$" + "A" * 43,
    ],
)
def test_a_missing_or_malformed_hash_is_false_and_costs_one_real_comparison(
    stored: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []
    real = bcrypt.checkpw

    def watched(password: bytes, hashed: bytes) -> bool:
        compared.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", watched)

    async def work() -> bool:
        async with hasher() as made:
            return await made.verify("correct horse", stored)

    assert run(work()) is False
    # Not measured by the clock: the same work, at the same cost, was done.
    assert [hashed[:7] for hashed in compared] == [b"$2b$04$"]


@pytest.mark.parametrize("stored_cost", [None, 4, 5, 6])
@pytest.mark.parametrize("highest_cost", [None, 4, 6, 31])
def test_what_fails_takes_as_long_whatever_the_hash_costs(
    stored_cost: int | None, highest_cost: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in rounds of bcrypt, not timed: an unknown address, an account whose hash is an old one, and one whose
    hash is new are the same work. What is right is not made to wait."""
    monkeypatch.setattr(passwords, "_MAXIMUM_COST", 7)
    stored = None if stored_cost is None else passwords.hash_password("correct horse", stored_cost)
    rounds: list[int] = []
    check, make = bcrypt.checkpw, bcrypt.hashpw

    def checked(password: bytes, hashed: bytes) -> bool:
        rounds.append(2 ** int(hashed[4:6]))
        return check(password, hashed)

    def made(password: bytes, salt: bytes) -> bytes:
        rounds.append(2 ** int(salt[4:6]))
        return make(password, salt)

    async def work(password: str) -> bool:
        async with hasher(cost=5) as one:
            monkeypatch.setattr(bcrypt, "checkpw", checked)
            monkeypatch.setattr(bcrypt, "hashpw", made)
            rounds.clear()
            try:
                return await one.verify(password, stored, highest_cost=highest_cost)
            finally:
                monkeypatch.setattr(bcrypt, "hashpw", make)
                monkeypatch.setattr(bcrypt, "checkpw", check)

    assert run(work("wrong")) is False
    dearest = max(5, min(highest_cost or 0, 7), stored_cost or 0)
    assert sum(rounds) == 2**dearest
    if stored_cost is not None:
        assert run(work("correct horse")) is True
        assert rounds == [2**stored_cost]


def test_the_dummy_matches_nothing_that_it_could_be_asked_for() -> None:
    async def work() -> list[bool]:
        async with hasher() as made:
            return [await made.verify(password, None) for password in ("", "password", made._dummy)]

    assert run(work()) == [False, False, False]


def test_hashing_happens_in_bounded_threads_and_never_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    at_once: list[int] = []
    inside = 0
    lock = threading.Lock()
    both = threading.Barrier(2, timeout=30)
    real = passwords.hash_password

    def watched(password: str, cost: int) -> str:
        nonlocal inside
        with lock:
            inside += 1
            at_once.append(inside)
            threads.add(threading.get_ident())
        both.wait()  # passes only when two threads are in here together
        with lock:
            inside -= 1
        return real(password, cost)

    async def work() -> None:
        async with hasher(workers=2) as made:
            monkeypatch.setattr(passwords, "hash_password", watched)
            await asyncio.gather(*(made.hash("x") for _ in range(8)))

    run(work())
    assert threading.get_ident() not in threads
    assert len(threads) == 2
    assert max(at_once) == 2


def test_a_flood_is_refused_and_those_before_it_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    async def work() -> list[object]:
        async with hasher(workers=1) as made:
            real = passwords.hash_password
            monkeypatch.setattr(
                passwords, "hash_password", lambda password, cost: release.wait(30) and real(password, cost)
            )
            places = 1 + PasswordHasher.WAITING_PER_WORKER
            waiting = [asyncio.create_task(made.hash("x")) for _ in range(places)]
            await asyncio.sleep(0)  # each has taken its place
            with pytest.raises(HashingBusy):
                await made.hash("one too many")
            # Whoever hangs up gives the place back.
            waiting.pop().cancel()
            await asyncio.sleep(0)
            waiting.append(asyncio.create_task(made.hash("x")))
            await asyncio.sleep(0)
            release.set()
            return await asyncio.gather(*waiting, return_exceptions=True)

    results = run(work())
    assert len(results) == 1 + PasswordHasher.WAITING_PER_WORKER
    assert all(isinstance(result, str) and result.startswith("$2b$") for result in results)


@pytest.mark.parametrize(
    ("password", "refused"),
    [
        ("x" * 11, "at least 12"),
        ("x" * 12, None),
        ("x" * 256, None),
        ("x" * 257, "at most 256"),
        ("", "at least 12"),
        ("e\u0301" * 6, "at least 12"),  # twelve code points, six characters
        ("é" * 12, None),
        (" " * 12, None),
        ("\0" * 12, None),
        ("fine-but-" + "\ud800" * 3, "surrogate"),
    ],
)
def test_what_may_be_set(password: str, refused: str | None) -> None:
    if refused is None:
        check_new_password(password)
        return
    with pytest.raises(PasswordRefused, match=refused) as error:
        check_new_password(password)
    assert not password or password not in str(error.value)


def test_a_flood_of_log_ins_is_answered_with_503_and_retry_after(start_live: Callable[..., Live]) -> None:
    """One worker and 33 places: of 80 log-ins at once, those that find a place get their 401, the others are sent
    away. They come from eight addresses, each of which may fail often enough."""
    live = start_live("--no-demo", environment={"LIMENA_PASSWORD_WORKERS": "1", "LIMENA_BCRYPT_COST": "10"})

    async def flood() -> list[httpx.Response]:
        async with AsyncExitStack() as stack:
            requests = []
            for host in range(2, 10):
                transport = httpx.AsyncHTTPTransport(local_address=f"127.0.0.{host}", limits=httpx.Limits())
                client = httpx.AsyncClient(base_url=live.base_url, timeout=60, transport=transport)
                await stack.enter_async_context(client)
                csrf = await client.get("/api/v1/auth/csrf")
                headers = {"X-CSRF-Token": csrf.json()["csrf_token"]}
                for number in range(10):
                    body = {"email": f"nobody{host}-{number}@example.com", "password": "correct horse battery staple"}
                    requests.append(client.post("/api/v1/auth/login", json=body, headers=headers))
            return await asyncio.gather(*requests)

    answers = run(flood())
    assert {answer.status_code for answer in answers} == {401, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert answer.json()["code"] == "unavailable"
            assert int(answer.headers["Retry-After"]) > 0
