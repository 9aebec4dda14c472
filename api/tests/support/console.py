"""A real Chromium on a real server: what the console's tests and screenshots stand on.

`Browser.visit` opens a browser of its own (cookies, storage, cache) and fails when the page wrote an error or a warning
to the console, violated its CSP, or asked another origin for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, ViewportSize, expect, sync_playwright

from support import chromium

PATIENCE = 20_000
"""Milliseconds after which a test gives up. What it waits for takes far less."""
WIDE: ViewportSize = {"width": 1280, "height": 860}
NARROW: ViewportSize = {"width": 360, "height": 740}
_LOADING = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")


@dataclass
class Visit:
    """One browser of one person."""

    base_url: str
    context: BrowserContext
    page: Page
    expects: set[int]
    """Statuses of answers that the test provokes: Chromium reports each as an error."""
    found: list[str] = field(default_factory=list)
    elsewhere: str | None = None
    """Another origin that the test goes to."""

    def watch(self, page: Page) -> Page:
        page.set_default_timeout(PATIENCE)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.found.append(f"exception: {error}"))
        page.on("request", self._on_request)
        return page

    def _on_console(self, message: ConsoleMessage) -> None:
        status = _LOADING.match(message.text)
        is_expected = status is not None and int(status[1]) in self.expects
        if message.type in ("error", "warning") and not is_expected:
            self.found.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _on_request(self, request: Request) -> None:
        origins = [self.base_url, f"blob:{self.base_url}", *filter(None, [self.elsewhere])]
        if not request.url.startswith(tuple(f"{origin}/" for origin in origins)):
            self.found.append(f"another origin: {request.url}")

    def go(self, path: str) -> None:
        """Opens a page, and waits until it shows what it has."""
        self.page.goto(f"{self.base_url}{path}")
        self.settle()

    def settle(self) -> None:
        self.page.wait_for_selector("main h1")
        expect(self.page.locator(".spinner")).to_have_count(0, timeout=PATIENCE)  # no eval(): the CSP is on

    def log_in(self, email: str, password: str) -> None:
        """On whatever page shows the log-in."""
        self.page.get_by_label("E-mail address").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_selector(".shell main h1")
        self.settle()

    def new_tab(self) -> Page:
        return self.watch(self.context.new_page())

    def axe(self) -> list[str]:
        """What axe-core finds on the page, one line each."""
        # Through the debugger, which asks no CSP: the page itself runs no script that is not the console's.
        session = self.context.new_cdp_session(self.page)
        known = session.send("Runtime.evaluate", {"expression": "typeof axe", "returnByValue": True})
        if known["result"]["value"] == "undefined":
            script = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
            session.send("Runtime.evaluate", {"expression": script})
        answer = session.send(
            "Runtime.evaluate",
            {
                "expression": "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.flatMap("
                "(v) => v.nodes.map((n) => `${v.id}: ${n.target} ${n.failureSummary}`)))",
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        session.detach()
        lines: list[str] = answer["result"]["value"]
        return lines


@dataclass
class Browser:
    base_url: str
    chromium: Chromium

    @contextmanager
    def visit(
        self,
        path: str | None = None,
        *,
        person: Any = None,
        theme: str = "light",
        size: ViewportSize | None = None,
        expects: set[int] | None = None,
        **options: Any,
    ) -> Iterator[Visit]:
        """A new browser. `person` (with an e-mail address and a password) logs in on the page that is opened."""
        context = self.chromium.new_context(
            color_scheme="dark" if theme == "dark" else "light",
            viewport=size or WIDE,
            permissions=["clipboard-read", "clipboard-write"],
            timezone_id="Europe/Vienna",
            locale="en-GB",
            reduced_motion="reduce",
            **options,
        )
        visit = Visit(self.base_url, context, context.new_page(), expects or set())
        visit.watch(visit.page)
        try:
            if path is not None:
                visit.go(path)
            if person is not None:
                visit.log_in(person.email, person.password)
            yield visit
        finally:
            context.close()
        assert visit.found == [], "\n".join(visit.found)


@contextmanager
def open_browser(base_url: str) -> Iterator[Browser]:
    """Starts Chromium. Whoever calls runs no event loop of their own until it is closed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium.find()), args=chromium.flags())
        try:
            yield Browser(base_url, browser)
        finally:
            browser.close()
