"""Device cookies: whose they are, how long, and how many a browser keeps."""

import time

import pytest
from starlette.requests import Request
from starlette.responses import Response

from limena.devices import KNOWN_SECONDS, MAX_ACCOUNTS, Devices

DEVICES = Devices(bytes(range(32)), is_production=False)


def browser(*cookies: str) -> Request:
    shown = "; ".join(f"limena_device={cookie}" for cookie in cookies).encode("latin-1")
    return Request({"type": "http", "headers": [(b"cookie", shown)]})


def remembered(email: str, request: Request | None = None, devices: Devices = DEVICES) -> str:
    response = Response()
    devices.remember(request or browser(), response, email)
    return response.headers["set-cookie"].partition("=")[2].partition(";")[0]


def test_a_browser_is_known_for_the_account_and_for_no_other() -> None:
    cookie = remembered("ada@x.example")
    assert DEVICES.hash_of(browser(cookie), "ada@x.example") is not None
    assert DEVICES.hash_of(browser(cookie), "  ADA@X.example ") is not None, "as the database reads an address"
    for other in ("grace@x.example", "", "ada@x.example\n", "a" * 100_000, "\ud800"):
        assert DEVICES.hash_of(browser(cookie), other) is None


def test_what_we_did_not_sign_is_nobodys() -> None:
    cookie = remembered("ada@x.example")
    for place in range(0, len(cookie), 7):
        changed = cookie[:place] + ("A" if cookie[place] != "A" else "B") + cookie[place + 1 :]
        assert DEVICES.hash_of(browser(changed), "ada@x.example") is None, place
    foreign = remembered("ada@x.example", devices=Devices(bytes(32), is_production=False))
    for shown in (foreign, "", ".", cookie[:-4], cookie + "AAAA", "é" * 96, "=" * 96):
        assert DEVICES.hash_of(browser(shown), "ada@x.example") is None


def test_planted_cookies_hide_none() -> None:
    cookie = remembered("ada@x.example")
    planted = [remembered(f"someone{number}@x.example") for number in range(50)]
    assert DEVICES.hash_of(browser(*planted, cookie), "ada@x.example") is not None


def test_a_browser_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cookie, now = remembered("ada@x.example"), time.time()
    monkeypatch.setattr(time, "time", lambda: now + KNOWN_SECONDS - 10)
    assert DEVICES.hash_of(browser(cookie), "ada@x.example") is not None
    monkeypatch.setattr(time, "time", lambda: now + KNOWN_SECONDS + 10)
    assert DEVICES.hash_of(browser(cookie), "ada@x.example") is None


def test_the_last_accounts_are_kept_and_each_once() -> None:
    cookie = ""
    for number in range(MAX_ACCOUNTS + 1):
        cookie = remembered(f"person{number}@x.example", browser(cookie))
    again = remembered("person2@x.example", browser(cookie))
    assert len(again.split(".")) == MAX_ACCOUNTS
    known = [number for number in range(9) if DEVICES.hash_of(browser(again), f"person{number}@x.example")]
    assert known == [1, 2, 3, 4], "the oldest has made room"
    assert DEVICES.account_shown(browser(again)) == DEVICES.account_shown(browser(remembered("person2@x.example")))


def test_the_cookie_is_for_the_browser_alone() -> None:
    response = Response()
    Devices(bytes(32), is_production=True).remember(browser(), response, "ada@x.example")
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name.startswith("__Secure-limena_device=")
    assert {"HttpOnly", "Secure", "Path=/api/v1/auth/", "SameSite=lax"} <= set(attributes)
