"""How hard a password is to guess, as zxcvbn estimates it, with the words that are near at hand for its owner.

zxcvbn takes seconds for a long text with many signs that may stand for letters ("l33t"), because it tries every way to
read them. So both are bounded: what comes behind the first 64 characters does not count, and no more than six different
signs are read as letters. It is pure Python, so call it off the event loop.

zxcvbn takes own words with signs between them for several words that somebody drew. So what is left of a password when
its owner's words are taken out, however they are written, has to be hard to guess by itself.

Refuses to keep the owner's words: zxcvbn keeps them in a module's variable, from where they are taken out again.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

import zxcvbn  # type: ignore[import-untyped]
from zxcvbn import matching

MINIMUM_SCORE: Final = 3
"""Of 4. 3: safely unguessable, more than 10^8 guesses (Wheeler, USENIX Security 2016)."""
MAXIMUM_LENGTH: Final = 64
OWN_WORDS: Final = ("limena",)

_MAXIMUM_SUBSTITUTES: Final = 6
_SHORTEST_TAKEN_OUT: Final = 4
_READINGS: Final = tuple(str.maketrans("4@3!10$57+", letters) for letters in ("aaeiiosstt", "aaellosstt"))
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
    shown = password[:MAXIMUM_LENGTH]
    with _lock:  # its dictionaries are a module's variable
        try:
            return any(
                zxcvbn.zxcvbn(text, user_inputs=known)["score"] < MINIMUM_SCORE
                for text in dict.fromkeys((shown, _without(known, shown)))
            )
        finally:
            matching.RANKED_DICTIONARIES.pop("user_inputs", None)


def _without(words: Iterable[str], text: str) -> str:
    """What is left of `text` without `words`, forwards or backwards, whatever signs stand between their letters, with
    accents or without, and with signs in place of letters."""
    plain = [(_plain(sign), place) for place, sign in enumerate(text)]
    letters = [(sign, place) for sign, place in plain if sign.isalnum() or sign in "@!$+"]
    taken: set[int] = set()
    for word in {"".join(filter(str.isalnum, map(_plain, word))) for word in words}:
        if len(word) < _SHORTEST_TAKEN_OUT:
            continue
        for reading in _READINGS:
            read = "".join(sign for sign, _ in letters).translate(reading)
            for one in (word.translate(reading), word[::-1].translate(reading)):
                start = read.find(one)
                while start >= 0:
                    taken.update(place for _, place in letters[start : start + len(one)])
                    start = read.find(one, start + 1)
    return "".join(sign for place, sign in enumerate(text) if place not in taken)


def _plain(sign: str) -> str:
    """One character for one, without case and accents."""
    return unicodedata.normalize("NFKD", sign)[0].lower()[0]


def _parts(text: str) -> Iterator[str]:
    """A name or address, and the words that it consists of."""
    text = text[:300].lower()
    yield text
    yield "".join(text.split())
    yield from (part for part in re.split(r"[\W_]+", text) if len(part) > 2)
