"""How hard a password is to guess, as zxcvbn estimates it, with the words that are near at hand for its owner.

zxcvbn takes seconds for a long text with many signs that may stand for letters ("l33t"), because it tries every way to
read them. So both are bounded: what comes behind the first 64 characters does not count, and no more than six different
signs are read as letters. It is pure Python, so call it off the event loop.

Refuses to keep the owner's words: zxcvbn keeps them in a module's variable, from where they are taken out again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from typing import Final

import zxcvbn  # type: ignore[import-untyped]
from zxcvbn import matching

MINIMUM_SCORE: Final = 3
"""Of 4. 3: safely unguessable, more than 10^8 guesses (Wheeler, USENIX Security 2016)."""
MAXIMUM_LENGTH: Final = 64
OWN_WORDS: Final = ("limena",)

_MAXIMUM_SUBSTITUTES: Final = 6
_MAXIMUM_WORDS: Final = 100
_lock: Final = threading.Lock()
_all_substitutes: Final = matching.relevant_l33t_subtable


def _few_substitutes(password: str, table: dict[str, list[str]]) -> dict[str, list[str]]:
    """Letter → signs of the password that may stand for it; the first six different signs alone."""
    found: dict[str, list[str]] = _all_substitutes(password, table)
    signs = {sign for several in found.values() for sign in several}
    kept = [sign for sign in dict.fromkeys(password) if sign in signs][:_MAXIMUM_SUBSTITUTES]
    few = {letter: [sign for sign in several if sign in kept] for letter, several in found.items()}
    return {letter: several for letter, several in few.items() if several}


matching.relevant_l33t_subtable = _few_substitutes


def is_guessable(password: str, words: Iterable[str]) -> bool:
    """Whether `password` is easier to guess than a score of 3. `words`: names, addresses and the like, whole; their
    parts are tried too."""
    known = list(dict.fromkeys(part for word in (*OWN_WORDS, *words) for part in _parts(word)))[:_MAXIMUM_WORDS]
    with _lock:  # its dictionaries are a module's variable
        try:
            score: int = zxcvbn.zxcvbn(password[:MAXIMUM_LENGTH], user_inputs=known)["score"]
        finally:
            matching.RANKED_DICTIONARIES.pop("user_inputs", None)
    return score < MINIMUM_SCORE


def _parts(text: str) -> Iterator[str]:
    """A name or address, and the words that it consists of."""
    text = text[:300].lower()
    yield text
    yield "".join(text.split())
    yield from (part for part in re.split(r"[\W_]+", text) if len(part) > 2)
