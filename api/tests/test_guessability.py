"""What counts as easy to guess, and that estimating it keeps nothing and stays bounded."""

from __future__ import annotations

import asyncio
import threading

import pytest
from zxcvbn import matching  # type: ignore[import-untyped]

from limena import calibration
from limena.calibration import Measurement
from limena.cli import main
from limena.guessability import MAXIMUM_LENGTH, is_guessable
from limena.passwords import PasswordHasher, PasswordRefused

WORDS = ("Ada Lovelace", "ada.lovelace@analytical.example", "Analytical Engines")


@pytest.mark.parametrize(
    "password",
    [
        "password1234", "Password1234", "qwertyuiop12", "123456789012", "aaaaaaaaaaaaaaaa", "iloveyou2020",
        "Ada Lovelace", "adalovelace1815", "lovelace1815", "ada.lovelace@analytical.example", "AnalyticalEngines",
        "limenalimena", "p@ssw0rd1234", "a" * 256,
        "Ada Lovelace Analytical Engines", "Lovelace, Ada (Analytical)", "engines.lovelace.limena.12",
        "l-o-v-e-l-a-c-e analytical", "L0velace 4nalytical Eng1nes", "Lövelace Ànalytical 99",
        "ecalevol-senigne-anemil",
    ],
)  # fmt: skip
def test_what_is_easy_to_guess(password: str) -> None:
    assert is_guessable(password, WORDS)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "zhaq-9wep-klma",
        "quilted marmot sings 47",
        "x7#kQ!2mLp$9v",
        "ß漢字кот語彙豊富だ",
        "correct horse lovelace battery",
        "limena zhaq-9wep-klma",
    ],
)
def test_what_is_not(password: str) -> None:
    assert not is_guessable(password, WORDS)


def test_the_persons_words_make_the_difference() -> None:
    assert not is_guessable("quilted marmot sings", ())
    assert is_guessable("quilted marmot sings", ["Quilted Marmot Sings Ltd", "quilted marmot sings"])


def test_the_words_are_not_kept() -> None:
    is_guessable("correct horse battery staple", ["a secret of someone"])
    assert "user_inputs" not in matching.RANKED_DICTIONARIES


def test_what_is_behind_the_limit_does_not_count() -> None:
    assert is_guessable("a" * MAXIMUM_LENGTH + "correct horse battery staple", ())


def test_no_more_than_a_few_substitutions_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes zxcvbn slow is the number of ways to read signs as letters: it is counted, not timed."""
    counted: list[int] = []
    enumerate_all = matching.enumerate_l33t_subs

    def count(table: dict[str, list[str]]) -> list[dict[str, str]]:
        found: list[dict[str, str]] = enumerate_all(table)
        counted.append(len(found))
        return found

    monkeypatch.setattr(matching, "enumerate_l33t_subs", count)
    is_guessable("4@8({[<369!|17$5+0%2qz" * 20, WORDS)
    assert counted
    assert max(counted) <= 64


def test_many_at_once_do_not_mix_their_words_up() -> None:
    """zxcvbn has one dictionary for all of them."""
    wrong: list[str] = []

    def judge(mine: str, others: str) -> None:
        for _ in range(5):
            if not is_guessable(mine, [mine]) or is_guessable(others, [mine]):
                wrong.append(mine)

    one, two = "quilted marmot sings", "seven violet umbrellas"
    threads = [threading.Thread(target=judge, args=pair) for pair in [(one, two), (two, one)] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_hasher_refuses_it_without_repeating_it() -> None:
    async def check(password: str) -> None:
        hasher = PasswordHasher(4, 1)
        try:
            await hasher.check_new(password, WORDS)
        finally:
            hasher.close()

    with pytest.raises(PasswordRefused, match="easy to guess") as refused:
        asyncio.run(check("adalovelace1815"))
    assert "lovelace" not in str(refused.value)
    asyncio.run(check("correct horse battery staple"))


def test_needs_rehash() -> None:
    hasher = PasswordHasher(5, 1)
    try:
        rest = "." * 53
        assert [hasher.needs_rehash(f"$2b${cost}${rest}") for cost in ("04", "05", "06")] == [True, False, True]
        assert hasher.needs_rehash("nonsense")
    finally:
        hasher.close()


@pytest.mark.parametrize(
    ("milliseconds", "cost"),
    [
        ({10: 60, 11: 120, 12: 240, 13: 480}, 12),
        ({10: 90, 11: 180, 12: 360, 13: 720}, 11),
        ({10: 100, 11: 200, 12: 400}, 11),
        ({8: 250, 9: 500, 10: 1000}, 10),  # production refuses less, however slow the machine
        ({10: 2, 11: 4, 12: 8, 13: 16, 14: 32, 15: 64, 16: 128}, 16),
    ],
)
def test_the_recommended_cost_comes_closest(milliseconds: dict[int, int], cost: int) -> None:
    assert calibration.recommend([Measurement(one, ms / 1000) for one, ms in milliseconds.items()]) == cost


def test_measuring_goes_up_until_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("limena.calibration.time.perf_counter", lambda: clock[0])

    def hash_at(cost: int) -> None:
        clock[0] += 0.03 * 2 ** (cost - 8)

    table = list(calibration.measure(hash_at))
    assert [one.cost for one in table] == [8, 9, 10, 11, 12, 13]
    assert table[4].seconds == pytest.approx(0.48)


def test_calibrate_prints_its_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(calibration, "measure", lambda: iter([Measurement(10, 0.12), Measurement(11, 0.24)]))
    assert main(["bcrypt", "calibrate"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "cost     time",
        "  10    120 ms",
        "  11    240 ms",
        "",
        "LIMENA_BCRYPT_COST=11   comes closest to 250 ms on this machine.",
    ]
