"""`limena bcrypt calibrate`: what a bcrypt cost takes on this machine, and which one to configure.

A cost that is right for one machine is too low or unbearable on another, and no table in a document knows. Refuses to
recommend less than production accepts.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import bcrypt

from limena.config import MAXIMUM_BCRYPT_COST, MINIMUM_PRODUCTION_BCRYPT_COST

TARGET_SECONDS: Final = 0.25
"""Of a log-in: hardly noticed by a person, and four guesses a second for an attacker with such a core."""

_FIRST_COST: Final = 8
_SAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Measurement:
    cost: int
    seconds: float
    """Median of three hashes."""


def measure(hash_at: Callable[[int], None] | None = None) -> Iterator[Measurement]:
    """From cost 8 on, one more each time, until one takes twice the target."""
    hash_once = hash_at or _hash
    for cost in range(_FIRST_COST, MAXIMUM_BCRYPT_COST + 1):
        times = []
        for _ in range(_SAMPLES):
            started = time.perf_counter()
            hash_once(cost)
            times.append(time.perf_counter() - started)
        yield Measurement(cost, statistics.median(times))
        if statistics.median(times) >= 2 * TARGET_SECONDS and cost >= MINIMUM_PRODUCTION_BCRYPT_COST:
            return


def recommend(table: list[Measurement]) -> int:
    """The cost that comes closest to the target (in steps, which double), among those that production accepts."""
    accepted = [one for one in table if one.cost >= MINIMUM_PRODUCTION_BCRYPT_COST]
    return min(accepted, key=lambda one: abs(math.log2(one.seconds / TARGET_SECONDS))).cost


def _hash(cost: int) -> None:
    bcrypt.hashpw(b"x" * 44, bcrypt.gensalt(cost))
