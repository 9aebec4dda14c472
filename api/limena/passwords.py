"""Passwords: what may be set as one, how it is hashed, and how it is compared without telling who exists.

The stored text is bcrypt (`$2b$`, 60 characters) over base64(HMAC-SHA-256(label, password)): 44 characters whatever the
password is, so that neither bcrypt's limit of 72 bytes nor a NUL byte cuts anything off, and a hash that leaks from
another system that feeds bare SHA-256 to bcrypt cannot be tried here ("password shucking"). The password is the UTF-8
of its NFC form (RFC 8265 section 4.2): the same characters typed on another keyboard match, while `²` and `2` stay
different.

bcrypt releases the GIL, so hashing runs in a bounded pool of threads and never on the event loop, and with a lower
priority than it.

Refuses: to raise for a stored hash that is malformed or costs more than any of ours (it verifies as False, in the usual
time), and to log or return a password. It sets no rules of composition (NIST SP 800-63B section 3.1.1.2, ASVS 5.0
6.2.5): how hard a password is to guess decides.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import os
import re
import secrets
import sys
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import bcrypt

from limena.guessability import is_guessable

MINIMUM_LENGTH: Final = 12
MAXIMUM_LENGTH: Final = 256
"""Characters of the NFC form. Checked where a password is set, never where one is shown: the rule may have changed
since."""
_MAXIMUM_RAW_LENGTH: Final = 4 * 256
"""Code points of a password as it comes in. NFC makes one character of four at most, and takes time that grows with the
square of a run of combining marks: nothing longer is ever normalised."""

_T = TypeVar("_T")
_LABEL: Final = b"limena password v1"
# The 22nd character of the salt carries two bits: bcrypt refuses any but these four.
_STORED: Final = re.compile(r"\$2b\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_MINIMUM_COST: Final = 4
# A stored hash that claims a cost of 31 would keep a thread busy for days. The configuration allows 16 at most.
_MAXIMUM_COST: Final = 16


class PasswordRefused(ValueError):
    """A password that may not be set. The text completes "The field …" for its owner, without the password."""


def check_new_password(password: str) -> None:
    """Raises `PasswordRefused` when `password` is shorter than 12 characters, longer than 256, or no Unicode text."""
    if len(password) > _MAXIMUM_RAW_LENGTH:
        raise PasswordRefused(f"must have at most {MAXIMUM_LENGTH} characters")
    normalised = unicodedata.normalize("NFC", password)
    if len(normalised) < MINIMUM_LENGTH:
        raise PasswordRefused(f"must have at least {MINIMUM_LENGTH} characters")
    if len(normalised) > MAXIMUM_LENGTH:
        raise PasswordRefused(f"must have at most {MAXIMUM_LENGTH} characters")
    if any("\ud800" <= character <= "\udfff" for character in normalised):
        raise PasswordRefused("must be Unicode text: it contains half of a surrogate pair")


class HashingBusy(Exception):
    """More passwords are waiting than can be worked off in a bearable time: the caller should answer 503."""


class PasswordHasher:
    """bcrypt at one cost, in `workers` threads. Making one takes as long as hashing one password: do it at the start.

    An unknown address takes as long as a known one: `verify(password, None)` compares with a hash that no password is
    known for, and whatever fails takes as long as the dearest hash that is in use, whatever its own cost: a comparison
    at cost n and a hash at each cost from n to m - 1 together take what one at m does. What succeeds is not made to
    wait.

    At most `WAITING_PER_WORKER` calls wait for each thread; the next one raises `HashingBusy`. A flood of log-ins
    delays log-ins, and nothing else grows with it."""

    WAITING_PER_WORKER: Final = 32

    def __init__(self, cost: int, workers: int) -> None:
        self._cost: Final = cost
        self._executor: Final = ThreadPoolExecutor(
            max_workers=workers, thread_name_prefix="bcrypt", initializer=_let_others_first
        )
        # Python of our own, which holds the GIL: with a low priority it would keep the event loop waiting for it.
        self._thinker: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guessability")
        self._most_calls: Final = workers * (1 + self.WAITING_PER_WORKER)
        self._calls = 0
        self._dummy: Final = hash_password(secrets.token_urlsafe(32), cost)

    async def hash(self, password: str) -> str:
        """The text to store. Checks nothing: see `check_new`."""
        return await self._run(lambda: hash_password(password, self._cost))

    async def check_new(self, password: str, words: Iterable[str]) -> None:
        """Raises `PasswordRefused` for what may not be set: see `check_new_password`; and what is easy to guess, for
        someone who knows `words` (the person's names and address)."""
        check_new_password(password)
        known = tuple(words)
        if await self._run(lambda: is_guessable(password, known), self._thinker):
            raise PasswordRefused("is too easy to guess: take several words that have nothing to do with you")

    def needs_rehash(self, stored: str) -> bool:
        """Whether a hash was made at another cost than ours."""
        return _STORED.fullmatch(stored) is None or _cost_of(stored) != self._cost

    async def verify(self, password: str, stored: str | None, *, highest_cost: int | None = None) -> bool:
        """Whether `stored` was made of `password`. None, and what is no hash of ours, is False. `highest_cost`: of all
        hashes there are; what is False takes as long as one of that cost, or of ours where that is higher."""
        cost = max(self._cost, min(highest_cost or 0, _MAXIMUM_COST))
        if stored is None or not _is_usable(stored) or len(password) > _MAXIMUM_RAW_LENGTH:
            shown = password[:_MAXIMUM_RAW_LENGTH]
            return await self._run(lambda: _matches(shown, self._dummy, cost=cost) and False)
        return await self._run(lambda: _matches(password, stored, cost=cost))

    def close(self) -> None:
        """Waits for the calls that are running; those that wait for a thread are cancelled."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._thinker.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], _T], executor: ThreadPoolExecutor | None = None) -> _T:
        # Counted on the event loop's thread alone. Who is cancelled gives the place in the queue back: a handler has to
        # see to that when its client hangs up (`limena.disconnect`).
        if self._calls >= self._most_calls:
            raise HashingBusy("too many passwords are waiting to be hashed")
        self._calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(executor or self._executor, work)
        finally:
            self._calls -= 1


def _let_others_first() -> None:
    """For a thread that hashes: whoever answers requests gets the processor first. On Linux that is the thread's own
    priority; elsewhere it would be the whole process's, and stays as it is."""
    if sys.platform == "linux":
        os.nice(10)


def _key(password: str) -> bytes:
    """44 ASCII characters that stand for the password. Any text has one: a lone surrogate is a character like
    others."""
    text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.digest(_LABEL, text, "sha256"))


def hash_password(password: str, cost: int) -> str:
    """What `PasswordHasher.hash` does, in the thread that calls."""
    return bcrypt.hashpw(_key(password), bcrypt.gensalt(cost)).decode("ascii")


def _matches(password: str, stored: str, *, cost: int) -> bool:
    if bcrypt.checkpw(_key(password), stored.encode("ascii")):  # compares in constant time
        return True
    for one in range(_cost_of(stored), cost):
        hash_password(password, one)
    return False


def _cost_of(stored: str) -> int:
    return int(stored[4:6])


def _is_usable(stored: str) -> bool:
    return _STORED.fullmatch(stored) is not None and _MINIMUM_COST <= _cost_of(stored) <= _MAXIMUM_COST
