"""API keys as text: form, checksum, uniformity. Without `_checksum`, every test of a damaged key here fails."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest

from limena import api_key_format
from limena.api_key_format import ALPHABET, describe, generate, parse

# Worked out by hand from the definition, so that a change of alphabet, padding or checksum shows.
KNOWN = "lmn_" + "0" * 43


def test_a_new_key_has_the_documented_form_and_parses_to_its_hash() -> None:
    new = generate()
    assert re.fullmatch(r"lmn_[0-9A-Za-z]{49}", new.key)
    assert new.prefix == new.key[:10]
    assert new.last_four == new.key[-4:]
    assert new.key_hash == hashlib.sha256(new.key.encode()).digest() == parse(new.key)
    assert describe(new.key) == new


def test_the_checksum_is_crc32_in_base62() -> None:
    # zlib.crc32(b"0" * 43) == 2018072207 == 2·62⁵ + 12·62⁴ + 35·62³ + 38·62² + 47·62 + 45, and 0-9 A-Z a-z are 0 to 61.
    key = KNOWN + "2CZclj"
    assert parse(key) == hashlib.sha256(key.encode()).digest()


def test_the_scanner_expression_of_the_docstring_finds_a_key_in_text() -> None:
    documented = re.search(r"^ {4}(\\b.*\\b)$", api_key_format.__doc__ or "", re.MULTILINE)
    assert documented is not None
    key = generate().key
    assert re.findall(documented[1], f"TOKEN={key};\n") == [key]


def test_every_single_wrong_character_is_refused() -> None:
    key = generate().key
    for position in range(4, len(key)):
        wrong = "A" if key[position] != "A" else "B"
        assert parse(key[:position] + wrong + key[position + 1 :]) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda key: "",
        lambda key: key[:-1],
        lambda key: key + "0",
        lambda key: key + "\n",
        lambda key: " " + key,
        lambda key: key.lower().replace("lmn_", "LMN_"),
        lambda key: key[4:],
        lambda key: key[:-1] + "é",
        lambda key: key[:-1] + "\ud800",
        lambda key: key[:-1] + "\u0661",  # ARABIC-INDIC DIGIT ONE: a digit to \d, not to us
        lambda key: key[:-1] + "\0",
        lambda key: key * 1000,
    ],
)
def test_malformed_text_is_refused(damage: object) -> None:
    assert callable(damage)
    key = generate().key
    assert parse(damage(key)) is None


def test_describe_does_not_repeat_a_malformed_key_in_its_error() -> None:
    with pytest.raises(ValueError, match=r"\Anot an API key\Z"):
        describe("lmn_secret")


def test_the_repr_shows_neither_key_nor_hash() -> None:
    new = generate()
    assert new.key not in repr(new)
    assert repr(new.key_hash) not in repr(new)


def test_characters_are_drawn_uniformly() -> None:
    # 2,000 keys hold 86,000 random characters, 1,387 of each expected, standard deviation 37. A modulo of random bytes
    # (256 % 62 = 8) would give 8 characters a quarter more than the rest: nine deviations.
    counts = Counter(character for _ in range(2000) for character in generate().key[4:47])
    assert set(counts) == set(ALPHABET)
    expected = 2000 * 43 / 62
    assert all(abs(count - expected) < 7 * expected**0.5 for count in counts.values())
