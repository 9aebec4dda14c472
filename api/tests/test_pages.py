"""How the console is served: by exact name, under a CSP that runs its own modules alone, cached but asked about."""

import re

import httpx
import pytest

from limena.pages import CONSOLE_DIR, CSP, PAGES, read_files
from support.api import Api

LARGEST = 150_000
FILES = sorted(read_files())


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_the_one_document(api: Api, path: str) -> None:
    with httpx.Client(base_url=api.base_url) as client:
        response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.content == (CONSOLE_DIR / "index.html").read_bytes()
    assert response.headers["content-security-policy"] == CSP
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_as_what_it_is(api: Api, name: str) -> None:
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}
    with httpx.Client(base_url=api.base_url) as client:
        response = client.get(f"/console/{name}")
        again = client.get(f"/console/{name}", headers={"If-None-Match": f'"other", W/{response.headers["etag"]}'})
        other = client.get(f"/console/{name}", headers={"If-None-Match": '"other"'})
    assert response.status_code == other.status_code == 200
    assert response.headers["content-type"].split(";")[0] == types[name.rpartition(".")[2]]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", response.headers["etag"])


@pytest.mark.parametrize(
    "path",
    [
        "/console/",
        "/console/../pages.py",
        "/console/%2e%2e/pages.py",
        "/console/..%2fpages.py",
        "/console//app.js",
        "/console/app.js/",
        "/console/app.js%00",
        "/console/pages",
        "/settings",
        "/settings/members/",
        "/admin",
    ],
)
def test_nothing_else_is_there(api: Api, path: str) -> None:
    with httpx.Client(base_url=api.base_url) as client:
        response = client.send(client.build_request("GET", httpx.URL(f"{api.base_url}{path}")))
    assert response.status_code in (400, 404)
    assert response.headers["content-type"] == "application/problem+json"


def test_pages_are_read_and_not_written(api: Api) -> None:
    with api.client() as client:
        assert client.head("/settings/members").status_code == 200
        assert client.head("/settings/members").content == b""
        assert client.options("/").headers["allow"] == "GET, HEAD, OPTIONS"
        refused = client.post("/settings/members", json={})
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS"


def test_the_policy_runs_nothing_but_our_modules() -> None:
    policy = dict(part.partition(" ")[::2] for part in CSP.split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["frame-ancestors"] == policy["trusted-types"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "img", "connect")} == {"'self'"}
    assert "unsafe" not in CSP


def test_nothing_in_the_console_makes_markup_of_text() -> None:
    """Besides Trusted Types, which not every browser enforces."""
    ways = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|srcdoc"
        r"|\beval\(|new Function|setTimeout\(['\"]|javascript:",
    )
    for name in FILES:
        text = (CONSOLE_DIR / name).read_text(encoding="utf-8")
        assert ways.findall(text) == [], name
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == [], name
    document = (CONSOLE_DIR / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", document) == []


def test_the_console_is_small() -> None:
    assert sum((CONSOLE_DIR / name).stat().st_size for name in FILES) < LARGEST


def test_files_are_uncounted_by_rate_limits(start_door: object) -> None:
    """Half a page is worse than none: see api/limena/rate_limits.py."""
    door = start_door(LIMENA_RATE_LIMIT_OTHER="3/minute")  # type: ignore[operator]
    with door.client() as client:
        assert {client.get("/console/app.js").status_code for _ in range(8)} == {200}
        assert {client.get("/").status_code for _ in range(8)} == {200, 429}
