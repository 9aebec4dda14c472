"""How soon a page of the console can be used, in a real Chromium: from the start of the navigation until its heading
and everything that it fetches are there."""

from __future__ import annotations

from typing import Any, Final

from playwright.sync_api import Page, sync_playwright

from bench.harness import Bench, Sides, compare
from limena.pages import PAGES
from support import chromium

_CALLBACK: Final = "/settings/integrations/callback"
_NOTE_WHEN_USABLE: Final = """
new MutationObserver(() => {
    const usable = document.querySelector('main h1') && !document.querySelector('.spinner');
    window.usableAt = usable ? (window.usableAt ?? performance.now()) : undefined;
}).observe(document, { childList: true, subtree: true });
"""


def console_pages(bench: Bench) -> dict[str, Any]:
    """Each page's milliseconds to usable with a cold cache, someone being logged in, beside the same with a warm one:
    medians over all pages, and of each."""
    pages: dict[str, list[Sides]] = {path: [] for path in PAGES if path != _CALLBACK}
    with bench.database() as database, database.api() as port, sync_playwright() as playwright:
        base_url = f"http://127.0.0.1:{port}"
        browser = playwright.chromium.launch(executable_path=str(chromium.find()), args=chromium.flags())
        context = browser.new_context()
        page = context.new_page()
        page.add_init_script(_NOTE_WHEN_USABLE)
        person = database.demo["platform_admin"]
        page.goto(f"{base_url}/")
        page.get_by_label("E-mail address").fill(person["email"])
        page.get_by_label("Password").fill(person["password"])
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector(".shell main h1")
        session = context.new_cdp_session(page)
        for _ in range(bench.rounds):
            for path, sides in pages.items():
                session.send("Network.clearBrowserCache")
                cold = {"ms": _usable(page, f"{base_url}{path}")}
                sides.append((cold, {"ms": _usable(page, f"{base_url}{path}")}))
        browser.close()
    each = {path: compare(sides, "ms")["measured"]["ms"] for path, sides in pages.items()}
    return compare([pair for sides in pages.values() for pair in sides], "ms") | {"cold_ms_of_each_page": each}


def _usable(page: Page, url: str) -> float:
    page.goto(url)
    page.wait_for_load_state("networkidle")
    found: float | None = page.evaluate("window.usableAt")
    if found is None:
        raise RuntimeError(f"{url} did not become usable")
    return found


MEASUREMENTS: Final = (console_pages,)
