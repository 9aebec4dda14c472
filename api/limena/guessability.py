"""How hard a password is to guess, as zxcvbn estimates it, with the words that are near at hand for its owner.

zxcvbn takes seconds for a long text with many characters that may stand for letters ("l33t"), so both are bounded: what
comes behind the first 64 characters does not count, and neither do more than six such characters, which are read as
the letters that they look like. Both only make a password look easier to guess than it is. It is pure Python, so call
it off the event loop.

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
_LETTERS: Final = {sign: letter for letter, signs in sorted(matching.L33T_TABLE.items()) for sign in signs}
_lock: Final = threading.Lock()


def is_guessable(password: str, words: Iterable[str]) -> bool:
    """Whether `password` is easier to guess than a score of 3. `words`: names, addresses and the like, whole; their
    parts are tried too."""
    text = password[:MAXIMUM_LENGTH]
    substitutes = [character for character in dict.fromkeys(text) if character in _LETTERS]
    too_many = str.maketrans({character: _LETTERS[character] for character in substitutes[_MAXIMUM_SUBSTITUTES:]})
    parts = [part for word in (*OWN_WORDS, *words) for part in _parts(word)][:_MAXIMUM_WORDS]
    known = list(dict.fromkeys([*parts, *(part.translate(too_many) for part in parts)]))
    text = text.translate(too_many)
    with _lock:  # its dictionaries are a module's variable
        try:
            score: int = zxcvbn.zxcvbn(text, user_inputs=known)["score"]
        finally:
            matching.RANKED_DICTIONARIES.pop("user_inputs", None)
    return score < MINIMUM_SCORE


def _parts(text: str) -> Iterator[str]:
    """A name or address, and the words that it consists of."""
    text = text[:300].lower()
    yield text
    yield "".join(text.split())
    yield from (part for part in re.split(r"[\W_]+", text) if len(part) > 2)
