"""The console in a real Chromium on a real server: each page as those who see it, and what must not happen on any.

Every visit fails on an error or a warning of the page, on a violation of its CSP, and on a request to another origin
(`support.console`).
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import Dialog, Download, Error, Page, Route, ViewportSize, expect

from limena.pages import PAGES
from support.api import Api, make_demo, serve
from support.console import NARROW, WIDE, Browser, Visit, open_browser
from support.databases import Database, create_database
from support.oauth import Provider
from support.people import PASSWORD, ask_to_register, mail_token, new_registration, register


@pytest.fixture(scope="module")
def console(template: Database, _provider: Provider) -> Iterator[Api]:
    """A server with a database of its own: what other tests leave in theirs is no page to look at."""
    database = create_database(template.server, "console", template)
    with serve(database, make_demo(database), environment=_provider.environment()) as running:
        _provider.allow(running.base_url)
        yield running


@pytest.fixture(scope="module")
def browser(console: Api) -> Iterator[Browser]:
    with open_browser(console.base_url) as running:
        yield running


@pytest.fixture(autouse=True)
def _nobody_waits(console: Api) -> None:
    """All log in from one address: a failure of one test must not keep the next one waiting."""
    with console.database.connect() as connection:
        connection.execute("delete from limena.log_in_failures")


def heading(page: Page) -> str:
    return page.locator("main h1").inner_text()


def stored(page: Page) -> str:
    """All that a page can find again after a reload, and what it shows now."""
    text: str = page.evaluate(
        """async () => JSON.stringify([
            {...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state, window.name,
            document.documentElement.outerHTML,
            [...document.querySelectorAll('input, textarea')].map((one) => one.value),
            await indexedDB.databases(), await caches.keys(),
        ])"""
    )
    return text


# In and out
# ---------------------------------------------------------------------------------------------------------------------


def test_one_logs_in_where_one_was_going_and_out(console: Api, browser: Browser) -> None:
    owner = console.person()
    with browser.visit("/settings/audit-log?action=api_key.created", expects={401}) as visit:
        page = visit.page
        assert heading(page) == "Log in"
        page.get_by_label("E-mail address").fill(owner.email)
        page.get_by_label("Password").fill("wrong horse battery staple")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("is wrong")
        visit.log_in(owner.email, owner.password)
        assert heading(page) == "Audit log"
        assert page.url.endswith("/settings/audit-log?action=api_key.created")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_tokens_are_in_memory_alone_and_a_reload_comes_back(console: Api, browser: Browser) -> None:
    with browser.visit("/settings/security", person=console.person()) as visit:
        token = re.compile(r"eyJ[A-Za-z0-9_-]+\.")
        assert token.search(stored(visit.page)) is None
        visit.page.reload()
        visit.settle()
        assert heading(visit.page) == "Security"
        cookies = {one["name"]: one for one in visit.context.cookies()}
        assert cookies.keys() == {"limena_refresh", "limena_csrf", "limena_device"}
        assert cookies["limena_refresh"]["httpOnly"]
        assert cookies["limena_device"]["httpOnly"]
        assert visit.page.evaluate("document.cookie").startswith("limena_csrf=")


def test_a_session_that_was_ended_leads_to_the_log_in_and_back(console: Api, browser: Browser) -> None:
    admin = console.person("admin")
    with browser.visit("/settings/members", person=admin, expects={401}) as visit:
        with console.database.connect() as connection:
            connection.execute("update limena.sessions set ended_at = now() where ended_at is null")
        visit.page.get_by_role("link", name="Audit log").click()
        expect(visit.page.get_by_text("Your session has ended.")).to_be_visible()
        visit.log_in(admin.email, admin.password)
        assert heading(visit.page) == "Audit log"


def test_tabs_refresh_together_and_leave_together(console: Api, browser: Browser) -> None:
    """One session, five pages at once: nobody is logged out, and nothing is taken for a theft."""
    with browser.visit("/", person=console.person()) as visit:
        tabs = [visit.page, *(visit.new_tab() for _ in range(4))]
        for tab in tabs:
            tab.goto(f"{visit.base_url}/settings/security", wait_until="commit")
        for tab in tabs:
            expect(tab.get_by_role("heading", name="Security")).to_be_visible()
            expect(tab.get_by_text("This one")).to_be_visible()
        # One session, five pages, five rotations in a row: none was taken for a theft.
        with console.database.connect() as connection:
            row = connection.execute(
                "select count(*) from limena.audit_logs where action = 'session.refresh_reused'"
            ).fetchone()
        assert row == (0,)
        tabs[2].get_by_role("button", name="Log out").click()
        for tab in tabs:
            expect(tab.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_change_without_the_csrf_token_is_refused_and_the_page_fetches_one(console: Api, browser: Browser) -> None:
    with browser.visit("/settings/security", person=console.person(), expects={403}) as visit:
        sent: list[str | None] = []
        visit.page.on(
            "request", lambda one: sent.append(one.headers.get("x-csrf-token")) if one.method == "POST" else None
        )
        # As if a sibling domain had planted a cookie of its own.
        visit.page.evaluate("document.cookie = 'limena_csrf=' + 'A'.repeat(64) + '; path=/'")
        visit.page.get_by_role("button", name="Log out").click()
        expect(visit.page.get_by_role("heading", name="Log in")).to_be_visible()
        assert sent[0] == "A" * 64
        assert len(sent) == 2
        assert sent[1] not in (None, "A" * 64)


# API keys
# ---------------------------------------------------------------------------------------------------------------------


def open_new_key(page: Page, name: str) -> str:
    page.get_by_role("button", name="Create an API key").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    boxes = dialog.get_by_role("checkbox")
    assert boxes.count() > 10
    assert not any(boxes.nth(number).is_checked() for number in range(boxes.count()))
    dialog.get_by_role("textbox", name="Name").fill(name)
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog.get_by_text("needs one choice at least")).to_be_visible()
    dialog.get_by_label("members:read").check()
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("dialog", name="Your new API key")).to_be_visible()
    return page.locator(".key").inner_text()


def test_a_key_is_shown_until_it_is_copied_and_confirmed_and_never_again(console: Api, browser: Browser) -> None:
    with browser.visit("/", person=console.person()) as visit:
        page = visit.page
        page.get_by_role("link", name="API keys").click()
        visit.settle()
        key = open_new_key(page, "from the console")
        assert re.fullmatch(r"lmn_[0-9A-Za-z]{49}", key)
        dialog = page.get_by_role("dialog", name="Your new API key")
        done, confirm = dialog.get_by_role("button", name="Done"), dialog.get_by_role("checkbox")
        for _ in range(3):
            page.keyboard.press("Escape")
        page.mouse.click(3, 3)
        page.evaluate("history.back()")
        expect(dialog.get_by_role("alert")).to_contain_text("Not yet")
        page.evaluate("document.querySelector('dialog').close()")
        expect(dialog).to_be_visible()
        assert page.url.endswith("/settings/api-keys")
        expect(done).to_be_disabled()
        expect(confirm).to_be_disabled()
        dialogs: list[str] = []

        def stay(one: Dialog) -> None:
            dialogs.append(one.type)
            one.dismiss()

        page.once("dialog", stay)
        page.evaluate("setTimeout(() => location.reload())")
        page.wait_for_timeout(300)
        assert dialogs == ["beforeunload"]
        dialog.get_by_role("button", name="Copy").click()
        expect(done).to_be_disabled()
        confirm.check()
        done.click()
        expect(dialog).to_have_count(0)
        assert page.evaluate("navigator.clipboard.readText()") == key
        visit.settle()
        page.evaluate("navigator.clipboard.writeText('')")
        secret = key.removeprefix("lmn_")[6:-4]  # prefix and last four are what a list shows
        assert secret not in stored(page)
        expect(page.get_by_text("from the console")).to_be_visible()
        page.reload()
        visit.settle()
        assert secret not in stored(page)
        assert console.person().client(key).get("/api/v1/members").status_code == 200


def test_a_key_outlives_its_session_until_it_is_stored(console: Api, browser: Browser) -> None:
    newcomer = register(console)
    with browser.visit("/settings/api-keys", person=newcomer) as visit:
        key = open_new_key(visit.page, "made before the log-out")
        other = visit.new_tab()
        other.goto(f"{visit.base_url}/settings/security")
        other.get_by_role("button", name="Log out").click()
        expect(other.get_by_role("heading", name="Log in")).to_be_visible()
        assert visit.page.locator(".key").inner_text() == key
        visit.page.get_by_role("button", name="Copy").click()
        visit.page.get_by_role("checkbox", name="I have stored the key").check()
        visit.page.get_by_role("button", name="Done").click()
        expect(visit.page.get_by_text("You logged out in another tab.")).to_be_visible()
        assert key not in stored(visit.page)


def test_a_key_is_revoked(console: Api, browser: Browser) -> None:
    key = console.make_key("members:read")
    with browser.visit("/settings/api-keys", person=console.person()) as visit:
        row = visit.page.get_by_role("row").filter(has_text=f"{key[:10]}…{key[-4:]}")
        row.get_by_role("button", name="Revoke").click()
        visit.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(row.get_by_text("Revoked")).to_be_visible()
    assert console.person().client(key).get("/api/v1/members").status_code == 401


def test_a_key_is_rotated_and_its_successor_shown_once(console: Api, browser: Browser) -> None:
    key = console.make_key("members:read")
    with browser.visit("/settings/api-keys", person=console.person()) as visit:
        page = visit.page
        row = page.get_by_role("row").filter(has_text=f"{key[:10]}…{key[-4:]}")
        row.get_by_role("button", name="Rotate").click()
        page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
        new = page.locator(".key").inner_text()
        page.get_by_role("button", name="Copy").click()
        page.get_by_role("checkbox", name="I have stored the key").check()
        page.get_by_role("button", name="Done").click()
        expect(row.get_by_text("works until")).to_be_visible()
        assert new.removeprefix("lmn_")[6:-4] not in stored(page)
    for one in (key, new):
        assert console.person().client(one).get("/api/v1/members").status_code == 200


# Roles
# ---------------------------------------------------------------------------------------------------------------------

SETTINGS = {
    "viewer": ["Tenant", "Members", "Integrations", "AI", "Security"],
    "member": ["Tenant", "Members", "Integrations", "AI", "Security"],
    "admin": ["Tenant", "Members", "API keys", "Integrations", "Audit log", "AI", "Security"],
    "owner": ["Tenant", "Members", "API keys", "Integrations", "Audit log", "AI", "Security"],
}


@pytest.mark.parametrize("role", SETTINGS)
def test_each_role_finds_its_pages(console: Api, browser: Browser, role: str) -> None:
    with browser.visit("/settings/members", person=console.person(role)) as visit:
        links = visit.page.get_by_role("navigation").get_by_role("link").all_inner_texts()
        assert [one for one in links if one not in ("Limena", "Overview")] == SETTINGS[role]
        expect(visit.page.get_by_role("row").filter(has_text="Edith Clarke")).to_be_visible()
        mays = role in ("admin", "owner")
        for name in SETTINGS[role]:
            visit.page.get_by_role("link", name=name, exact=True).click()
            expect(visit.page.get_by_role("heading", name=name, exact=True, level=1)).to_be_visible()
            visit.settle()
            assert visit.page.get_by_role("alert").filter(has_text=re.compile(".")).count() == 0
        visit.go("/settings/members")
        assert (visit.page.get_by_role("button", name="Invite someone").count() == 1) == mays
        assert (visit.page.get_by_label("Role of Edith Clarke").count() == 1) == mays


def test_a_page_that_is_not_for_a_role_says_what_it_needs(console: Api, browser: Browser) -> None:
    with browser.visit("/settings/audit-log", person=console.person("viewer"), expects={403}) as visit:
        expect(visit.page.get_by_text("It needs the permission").first).to_contain_text("audit:read")


# The audit log
# ---------------------------------------------------------------------------------------------------------------------


def test_filters_stand_in_the_address(console: Api, browser: Browser) -> None:
    console.make_key("members:read")
    with browser.visit("/settings/audit-log", person=console.person()) as visit:
        page = visit.page
        page.get_by_text("Filter", exact=True).click()
        page.get_by_label("Action").fill("api_key.created")
        page.get_by_role("button", name="Apply").click()
        page.wait_for_url("**/settings/audit-log?action=api_key.created")
        visit.settle()
        events = page.locator(".event-what").all_inner_texts()
        assert events
        assert {one.strip() for one in events} == {"API key created"}
        page.reload()
        visit.settle()
        assert page.locator(".event-what").all_inner_texts() == events
        page.get_by_role("link", name="Clear").click()
        page.wait_for_url(re.compile(r"/settings/audit-log$"))
        visit.settle()
        assert len(page.locator(".event-what").all_inner_texts()) > len(events)
        page.go_back()
        visit.settle()
        assert page.locator(".event-what").all_inner_texts() == events


def test_a_change_is_told_as_before_and_after(console: Api, browser: Browser) -> None:
    with browser.visit("/settings/members", person=console.person()) as visit:
        visit.page.get_by_label("Role of Edith Clarke").select_option("member")
        expect(visit.page.get_by_text("The role is changed.")).to_be_visible()
        visit.go("/settings/audit-log?action=membership.role_changed")
        visit.page.locator("summary.event-head").first.click()
        row = visit.page.get_by_role("row", name="Role")
        assert row.get_by_role("cell").all_inner_texts() == ["viewer", "member"]
        time = visit.page.locator("summary.event-head time").first
        utc = time.get_attribute("title") or ""
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", utc)
        hour = (int(utc[11:13]) + 1) % 24, (int(utc[11:13]) + 2) % 24  # Vienna, in winter and in summer
        assert int(time.inner_text().split(", ")[-1][:2]) in hour
        visit.go("/settings/members")
        visit.page.get_by_label("Role of Edith Clarke").select_option("viewer")
        expect(visit.page.get_by_text("The role is changed.")).to_be_visible()


def rows_of_the_api(client: httpx.Client, **filters: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = client.get("/api/v1/audit-logs", params={**filters, **({"after": after} if after else {})}).json()
        rows += page["items"]
        after = page["next"]
        if after is None:
            return rows


def test_an_export_has_the_rows_that_the_api_has(console: Api, browser: Browser, tmp_path: Path) -> None:
    owner = console.person("admin")
    console.make_key("members:read", role="admin")
    with browser.visit("/settings/audit-log?entity_type=api_key", person=owner) as visit:
        with visit.page.expect_download() as download:
            visit.page.get_by_role("button", name="Export CSV").click()
        expect(visit.page.get_by_text("The export is complete.")).to_be_visible()
        expect(visit.page.get_by_role("dialog")).to_have_count(0)
        assert re.fullmatch(r"audit-log-\d{4}-\d\d-\d\d\.csv", download.value.suggested_filename)
        download.value.save_as(tmp_path / "log.csv")
    with (tmp_path / "log.csv").open(encoding="utf-8", newline="") as file:
        exported = list(csv.DictReader(file))
    with owner.client() as client:
        rows = rows_of_the_api(client, entity_type="api_key")
    assert len(rows) >= 3
    texts = ("id", "action", "actor_type", "actor_id", "actor_label", "entity_type", "entity_id", "request_id", "ip")
    assert [[one[name] for name in texts] for one in exported] == [[one[name] or "" for name in texts] for one in rows]
    assert [json.loads(one["changes"]) for one in exported] == [one["changes"] for one in rows]


def test_an_export_tells_how_far_it_is_and_is_cancelled(console: Api, browser: Browser) -> None:
    with browser.visit("/settings/audit-log", person=console.person()) as visit:
        downloads: list[Download] = []
        visit.page.on("download", lambda one: downloads.append(one))
        network = visit.context.new_cdp_session(visit.page)
        slow = {"offline": False, "latency": 0, "downloadThroughput": 2_000, "uploadThroughput": -1}
        network.send("Network.enable")
        network.send("Network.emulateNetworkConditions", slow)
        visit.page.get_by_role("button", name="Export CSV").click()
        dialog = visit.page.get_by_role("dialog")
        expect(dialog.get_by_text(re.compile(r"\d+ rows, [\d.,]+ k?B so far"))).to_be_visible(timeout=15_000)
        dialog.get_by_role("button", name="Cancel").click()
        expect(visit.page.get_by_text("The export was cancelled.")).to_be_visible()
        expect(dialog).to_have_count(0)
        network.send("Network.emulateNetworkConditions", {**slow, "downloadThroughput": -1})
        assert downloads == []


def test_the_log_is_verified_and_an_alteration_is_found(console: Api, browser: Browser) -> None:
    newcomer = register(console)
    with browser.visit("/settings/audit-log", person=newcomer) as visit:
        expect(visit.page.get_by_text("Not sealed yet")).to_be_visible()
    with console.database.connect("limena_maintenance") as maintenance:
        for _ in range(2):  # the first run sets the fence
            maintenance.execute("select limena.seal_audit_log()")
    with browser.visit("/settings/audit-log", person=newcomer) as visit:
        page = visit.page
        expect(page.get_by_text("up to").first).to_contain_text("not verified since you came")
        page.get_by_role("button", name="Verify now").click()
        expect(page.get_by_text("sealed rows are as they were written.")).to_be_visible()
        with console.database.connect() as superuser:
            superuser.execute(
                """update limena.audit_logs set user_agent = 'another' where tenant_id = %s
                and action = 'tenant.created'""",
                [newcomer.tenant_id],
            )
        page.get_by_role("button", name="Verify now").click()
        expect(page.get_by_text("This log was changed after it was sealed")).to_be_visible()
        expect(page.get_by_text("Row altered:")).to_be_visible()
        assert visit.axe() == []


def test_an_operators_access_stands_out_in_the_tenants_log(console: Api, browser: Browser) -> None:
    owner = console.person()
    with console.database.connect("limena_readonly") as operator:
        operator.execute(
            "select limena.open_access('Ticket 4711: an export stops half-way', p_tenant_id => %s)", [owner.tenant_id]
        )
    for path in ("/", "/settings/audit-log"):
        with browser.visit(path, person=owner) as visit:
            row = visit.page.locator(".by-operator").filter(has_text="Operator access opened").first
            expect(row.locator(".badge.operator")).to_have_text("Operator")
            expect(row.locator(".event-who")).to_have_text("limena_readonly")
            if path != "/":
                row.locator("summary").click()
                expect(row.get_by_text("Ticket 4711: an export stops half-way")).to_be_visible()
                assert visit.axe() == []
    with browser.visit("/settings/audit-log", person=console.person(tenant=2)) as visit:
        assert visit.page.locator(".by-operator").count() == 0


# AI
# ---------------------------------------------------------------------------------------------------------------------


def reserve(client: httpx.Client) -> int:
    call = {"model": "claude-sonnet-4-5", "estimated_tokens": 1000}
    return client.post("/api/v1/ai/reservations", json=call).status_code


def test_the_banner_tells_of_a_trip_within_a_minute_and_goes_with_it(console: Api, browser: Browser) -> None:
    owner, viewer = console.person(tenant=2), console.person("viewer", tenant=2)
    with browser.visit() as visit, browser.visit("/settings/ai", person=owner) as owners:
        banner, owners_banner = visit.page.locator(".banner"), owners.page.locator(".banner")
        visit.page.clock.install()
        visit.go("/settings/members")
        visit.log_in(viewer.email, viewer.password)
        with owner.client() as client:
            assert client.patch("/api/v1/ai/settings", json={"calls_per_hour": 2}).status_code == 200
            assert [reserve(client) for _ in range(3)] == [201, 201, 429]
        expect(banner).to_be_empty()
        visit.page.clock.fast_forward(59_000)
        expect(banner).to_contain_text("AI is paused")
        expect(banner).to_contain_text("Everything else goes on. Until ")
        banner.get_by_role("link", name="Settings: AI").click()
        visit.settle()
        expect(visit.page.get_by_text("Paused: too many calls within an hour")).to_be_visible()
        assert visit.page.get_by_role("button", name="End the pause now").count() == 0  # an owner's alone

        owners.page.reload()
        owners.settle()
        expect(owners_banner).to_contain_text("AI is paused")
        assert owners.axe() == []
        owners.page.get_by_role("button", name="End the pause now").click()
        owners.page.get_by_role("dialog").get_by_role("button", name="End the pause").click()
        expect(owners_banner).to_be_empty()
        visit.page.clock.fast_forward(59_000)
        expect(banner).to_be_empty()

        owners.page.get_by_role("button", name="Switch AI off").click()
        owners.page.get_by_role("dialog").get_by_role("button", name="Switch off").click()
        expect(owners_banner).to_contain_text("AI is switched off")
        visit.page.clock.fast_forward(59_000)
        expect(banner).to_contain_text("AI is switched off")
        owners.page.get_by_role("button", name="Switch AI on").click()
        owners.page.get_by_role("dialog").get_by_role("button", name="Switch on").click()
        expect(owners_banner).to_be_empty()
        with owner.client() as client:  # the platform's limit, which is none of one's own
            assert client.patch("/api/v1/ai/settings", json={"calls_per_hour": 500}).status_code == 200


def test_limits_are_lowered_and_use_is_told(console: Api, browser: Browser) -> None:
    owner = console.person()
    with owner.client(owner.api_key) as client:
        call = {"model": "claude-sonnet-4-5", "estimated_tokens": 4000}
        made = client.post("/api/v1/ai/reservations", json=call).json()["id"]
        spent = {"prompt_tokens": 1234, "completion_tokens": 766, "latency_ms": 900}
        assert client.post(f"/api/v1/ai/reservations/{made}/settle", json=spent).status_code == 200
    with browser.visit("/settings/ai", person=owner) as visit:
        page = visit.page
        expect(page.get_by_text("2K of 20M used")).to_be_visible()
        page.get_by_label("By model").check()
        expect(page.get_by_role("row").filter(has_text="claude-sonnet-4-5").get_by_title("1,234")).to_be_visible()
        page.get_by_label("By API key").check()
        expect(page.get_by_role("row").filter(has_text="Demo key")).to_be_visible()
        page.get_by_role("spinbutton", name="Calls in 60 minutes").fill("400")
        page.get_by_role("button", name="Save limits").click()
        expect(page.get_by_text("The limits count from now on.")).to_be_visible()
        expect(page.get_by_text("of 400 used")).to_be_visible()


# The platform
# ---------------------------------------------------------------------------------------------------------------------


def act(page: Page, tenant: str, action: str, reason: str) -> None:
    page.get_by_role("button", name=f"Actions on {tenant}").click()
    page.get_by_role("button", name=action, exact=True).click()
    dialog = page.get_by_role("dialog")
    if "limits" in action:
        dialog.get_by_label("Calls in 60 minutes").fill("700")
    dialog.get_by_role("button", name=action, exact=True).click()  # the reason is asked for
    expect(dialog).to_be_visible()
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=action, exact=True).click()
    expect(dialog).to_have_count(0)


@pytest.mark.parametrize(("theme", "size"), [("light", WIDE), ("dark", NARROW)], ids=["light", "dark"])
def test_a_platform_admin_looks_and_acts_with_a_reason(
    console: Api, browser: Browser, theme: str, size: ViewportSize
) -> None:
    data = console.demo["platform_admin"]
    owner = console.person(tenant=2)
    admin = replace(owner, email=data["email"], password=data["password"])
    with browser.visit("/admin/usage", person=admin, theme=theme, size=size) as visit:
        page = visit.page
        assert visit.axe() == []
        assert_no_sideways_scrolling(page)
        row = page.get_by_role("row").filter(has_text="Globex").first
        if size == WIDE:
            act(page, "Globex", "Freeze the tenant", "Unpaid since March")
            expect(row.get_by_text("Frozen")).to_be_visible()
            expect(row.get_by_text("Freeze the tenant: Unpaid since March")).to_be_visible()
            with browser.visit("/settings/audit-log?action=tenant.frozen", person=owner) as owners:
                expect(owners.page.locator(".banner")).to_contain_text(re.compile("frozen", re.IGNORECASE))
                owners.page.locator("summary.event-head").first.click()
                expect(owners.page.get_by_text("Unpaid since March")).to_be_visible()
            act(page, "Globex", "Unfreeze the tenant", "Paid")
            act(page, "Globex", "Change AI limits", "They asked for more")
            expect(row.get_by_title("of 700")).to_be_visible()
        else:
            act(page, "Globex", "Switch AI off", "A runaway loop")
            expect(row.get_by_text("AI off by the platform")).to_be_visible()
            with browser.visit("/settings/ai", person=owner) as owners:
                expect(owners.page.locator(".banner")).to_contain_text("The platform has switched it off.")
            act(page, "Globex", "Switch AI on", "The loop is gone")
            expect(row.get_by_text("AI off by the platform")).to_have_count(0)
    # Looking is an operator's access, and each tenant finds it.
    with browser.visit("/settings/audit-log?action=operator.all_access_opened", person=owner) as owners:
        expect(owners.page.locator(".by-operator").first).to_contain_text(admin.email)


def test_the_platforms_page_is_for_its_admins(console: Api, browser: Browser) -> None:
    with browser.visit("/admin/usage", person=console.person(), expects={403}) as visit:
        expect(visit.page.get_by_text("Not for your role")).to_be_visible()
        assert visit.page.get_by_role("link", name="Usage").count() == 0


# Members, the tenant, integrations
# ---------------------------------------------------------------------------------------------------------------------


def test_someone_is_invited_accepts_and_is_removed(console: Api, browser: Browser) -> None:
    owner = console.person()
    with browser.visit("/settings/members", person=owner) as visit:
        page = visit.page
        page.get_by_role("button", name="Invite someone").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("E-mail address").fill("katherine@acme.example")
        dialog.get_by_role("radio", name="Member also").check()
        dialog.get_by_role("button", name="Invite").click()
        expect(page.get_by_role("row").filter(has_text="katherine@acme.example")).to_be_visible()

        token = mail_token(console, "katherine@acme.example", "invitation")
        with browser.visit(f"/invitation#token={token}") as newcomers:
            assert token not in stored(newcomers.page)
            newcomers.page.get_by_label("Your name").fill("Katherine Johnson")
            newcomers.page.get_by_role("textbox", name="Password").fill(PASSWORD)
            newcomers.page.get_by_role("button", name="Accept").click()
            expect(newcomers.page.get_by_role("heading", name="Acme")).to_be_visible()
            newcomers.settle()

            page.reload()
            visit.settle()
            row = page.get_by_role("row").filter(has_text="Katherine Johnson")
            row.get_by_role("button", name="Remove Katherine Johnson").click()
            page.get_by_role("dialog").get_by_role("button", name="Remove").click()
            expect(row).to_have_count(0)
            newcomers.expects.update({401, 403})
            newcomers.page.get_by_role("link", name="Members").click()
            expect(newcomers.page.get_by_text(re.compile("Your session has ended|Not for your role"))).to_be_visible()


def test_someone_with_an_account_accepts_and_switches_tenants(console: Api, browser: Browser) -> None:
    newcomer = register(console)
    with console.person("owner", tenant=2).client() as client:
        body = {"email": newcomer.email, "role": "viewer"}
        assert client.post("/api/v1/invitations", json=body).status_code == 201
    token = mail_token(console, newcomer.email, "invitation")
    with browser.visit("/", person=newcomer) as visit:
        page = visit.page
        visit.go(f"/invitation#token={token}")
        page.get_by_role("button", name="Accept").click()
        expect(page.get_by_role("heading", name="Globex")).to_be_visible()
        other = visit.new_tab()
        other.goto(f"{visit.base_url}/settings/members")
        expect(other.get_by_text("hank", exact=False).first).to_be_visible()
        page.get_by_label("Tenant", exact=True).select_option(label=newcomer.registration["tenant_name"])
        expect(page.get_by_role("heading", name=newcomer.registration["tenant_name"])).to_be_visible()
        # Nothing of the tenant before stays in another tab: whatever is done there would be done in this one.
        expect(other.get_by_text("hank", exact=False)).to_have_count(0)


def test_the_tenant_is_renamed_deleted_and_kept(console: Api, browser: Browser) -> None:
    newcomer = register(console)
    with browser.visit("/settings/tenant", person=newcomer) as visit:
        page = visit.page
        page.get_by_label("Name").fill("Renamed & Co")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("navigation").get_by_text("Renamed & Co")).to_be_visible()
        page.get_by_role("button", name="Delete the tenant").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name of the tenant").fill("Renamed & Co")
        dialog.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("will be erased on")).to_be_visible()
        assert visit.axe() == []
        page.get_by_role("button", name="Keep the tenant").click()
        page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
        expect(page.get_by_role("button", name="Delete the tenant")).to_be_visible()


def test_an_integration_is_connected_and_its_secret_never_seen_again(console: Api, browser: Browser) -> None:
    with browser.visit("/settings/integrations", person=console.person("admin")) as visit:
        page, secret = visit.page, "sk-marked-0123456789abcdef"
        page.get_by_role("button", name="Connect Anthropic", exact=True).click()
        page.get_by_role("dialog").get_by_label("API key").fill(secret)
        page.get_by_role("dialog").get_by_label("Label").fill("Production")
        page.get_by_role("dialog").get_by_role("button", name="Connect").click()
        expect(page.get_by_role("button", name="Disconnect Anthropic")).to_be_visible()
        assert secret not in stored(page)
        page.get_by_role("button", name="Disconnect Anthropic").click()
        page.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
        expect(page.get_by_role("button", name="Connect Anthropic", exact=True)).to_be_visible()


def test_a_provider_is_authorized_and_the_code_leaves_the_address(
    console: Api, browser: Browser, provider: Provider
) -> None:
    with browser.visit("/settings/integrations", person=console.person("admin"), expects={422}) as visit:
        page, visit.elsewhere = visit.page, provider.issuer
        returned: list[str] = []

        def agree(route: Route) -> None:
            """The provider's page, on which one agrees."""
            code = provider.consent(route.request.url)
            returned.append(f"{provider.landed}?{urlencode(code)}")
            body = f'<!doctype html><title>Provider</title><h1>Provider</h1><a href="{escape(returned[-1])}">Agree</a>'
            route.fulfill(body=body, content_type="text/html")

        page.route(f"{provider.issuer}/authorize**", agree)
        page.get_by_role("button", name="Connect OpenID Connect").click()
        page.get_by_role("dialog").get_by_role("button", name="Go there").click()
        page.get_by_role("link", name="Agree").click()
        expect(page.get_by_role("button", name="Disconnect OpenID Connect")).to_be_visible()
        assert page.url.endswith("/settings/integrations")
        left = stored(page)
        tokens = [token for one in provider.tokens for token in (one.access_token, one.refresh_token) if token]
        assert len(tokens) == 2
        assert not any(token in left for token in tokens)
        assert parse_qs(urlsplit(returned[0]).query)["code"][0] not in left
        page.goto(returned[0])  # replayed
        expect(page.get_by_role("alert")).to_contain_text("did not work")
        page.get_by_role("link", name="Back to the integrations").click()
        page.get_by_role("button", name="Disconnect OpenID Connect").click()
        page.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
        expect(page.get_by_role("button", name="Connect OpenID Connect", exact=True)).to_be_visible()
        assert provider.live() == []


# What somebody else wrote
# ---------------------------------------------------------------------------------------------------------------------

HOSTILE = {
    "markup": "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "link": "javascript:alert(document.cookie)//\"'><svg/onload=alert(3)>",
    "formula": "=cmd|'/c calc'!A1",
    "bidi": "invoice\u202egnp.exe\u2066",
    "long": "W" * 100,
}
SHOWN = HOSTILE | {"bidi": "invoice[U+202E]gnp.exe[U+2066]"}


@pytest.mark.parametrize(("kind", "size"), [("markup", WIDE), ("bidi", WIDE), ("long", NARROW)])
def test_hostile_text_is_text(console: Api, browser: Browser, kind: str, size: ViewportSize) -> None:
    """Names of a person, a tenant and keys; and, where no column's check keeps it short, what stands in the log."""
    name = HOSTILE[kind]
    body = new_registration() | {"display_name": name, "tenant_name": name}
    with console.client() as client:
        made = client.post("/api/v1/auth/register", json=body)
        assert made.status_code == 201, made.text
        client.headers["Authorization"] = f"Bearer {made.json()['access_token']}"
        for text in HOSTILE.values():
            key = {"name": text, "scopes": ["members:read"]}
            assert client.post("/api/v1/api-keys", json=key).status_code == 201
    with console.database.connect() as connection:
        connection.execute(
            """update limena.audit_logs set actor_label = %(long)s, user_agent = %(long)s,
                entity_type = %(short)s, details = jsonb_build_object(%(short)s::text, %(long)s::text)
            where tenant_id = %(tenant)s""",
            {"long": (name * 10_000)[:10_000], "short": name, "tenant": made.json()["tenant"]["id"]},
        )
    with browser.visit("/", size=size) as visit:
        page = visit.page
        page.on("dialog", lambda one: visit.found.append(f"a script ran: {one.message}"))

        def look() -> None:
            assert page.locator("main :is(img, script, iframe, svg, object, [onerror], [onload])").count() == 0
            assert page.locator("a[href^='javascript' i]").count() == 0
            assert_no_sideways_scrolling(page)

        visit.log_in(body["email"], body["password"])
        expect(page.get_by_role("heading", name=SHOWN[kind], exact=True)).to_be_visible()
        look()
        visit.go("/settings/members")
        expect(page.get_by_role("cell", name=SHOWN[kind]).first).to_be_visible()
        look()
        visit.go("/settings/api-keys")
        for text in SHOWN.values():
            expect(page.locator("main").get_by_text(text, exact=True).first).to_be_visible()
        look()
        visit.go("/settings/audit-log")
        page.locator("summary.event-head").last.click()
        expect(page.locator(".event-body dd bdi").first).to_contain_text(SHOWN[kind])
        look()


# Everyone can use it
# ---------------------------------------------------------------------------------------------------------------------

NOBODYS = [
    "/",
    "/register",
    "/verify",
    "/verify#token=x",
    "/invitation#token=x",
    "/password-reset",
    "/password-reset#token=x",
]
EVERYBODYS = [
    path for path in PAGES if path == "/" or (path.startswith("/settings/") and not path.endswith("/callback"))
]


LOOKS: list[tuple[Literal["light", "dark"], ViewportSize]] = [("light", WIDE), ("dark", NARROW)]


def assert_no_sideways_scrolling(page: Page) -> None:
    width, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width <= room, f"{page.url} is {width} px wide on {room} px"


def test_axe_finds_nothing(console: Api, browser: Browser) -> None:
    """Each page in both themes: light and wide, then dark and narrow."""
    found: list[str] = []

    def look(visit: Visit) -> None:
        for theme, size in LOOKS:
            visit.page.emulate_media(color_scheme=theme)
            visit.page.set_viewport_size(size)
            assert_no_sideways_scrolling(visit.page)
            found.extend(f"{visit.page.url} {theme}: {line}" for line in visit.axe())

    with browser.visit() as visit:
        for path in NOBODYS:
            visit.go(path)
            look(visit)
    with browser.visit("/", person=console.person()) as visit:
        page = visit.page
        for path in EVERYBODYS:
            visit.go(path)
            if path == "/settings/audit-log":
                page.locator("summary.event-head").first.click()
            look(visit)
            if path == "/settings/api-keys":
                page.get_by_role("button", name="Create an API key").first.click()
                expect(page.get_by_role("dialog")).to_be_visible()
                look(visit)
        page.get_by_role("button", name="Menu").click()
        found += visit.axe()
    assert found == []


def test_the_keyboard_is_enough(console: Api, browser: Browser) -> None:
    """Skip link, navigation, a dialog and back: focus is where one is."""
    with browser.visit("/", person=console.person()) as visit:
        page = visit.page

        def focused() -> str:
            text: str = page.evaluate("document.activeElement.textContent")
            return text

        page.reload()
        visit.settle()
        page.keyboard.press("Tab")
        assert focused() == "Skip to content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.tagName") == "H1"
        page.get_by_role("link", name="API keys").focus()
        page.keyboard.press("Enter")
        visit.settle()
        assert focused() == "API keys"
        create = page.get_by_role("button", name="Create an API key").first
        create.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_role("textbox", name="Name")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(create).to_be_focused()


# When something is missing
# ---------------------------------------------------------------------------------------------------------------------


def test_offline_is_said_and_nothing_is_lost(console: Api, browser: Browser) -> None:
    with browser.visit("/settings/members", person=console.person()) as visit:
        page = visit.page
        visit.context.set_offline(True)
        expect(page.get_by_text("Limena cannot be reached. Trying again")).to_be_visible()
        page.get_by_role("button", name="Invite someone").click()
        page.get_by_role("dialog").get_by_label("E-mail address").fill("someone@example.com")
        page.get_by_role("dialog").get_by_role("radio", name="Viewer").check()
        page.get_by_role("dialog").get_by_role("button", name="Invite").click()
        expect(page.get_by_role("dialog").get_by_role("alert").last).to_contain_text("cannot be reached")
        visit.context.set_offline(False)
        expect(page.get_by_text("Limena cannot be reached. Trying again")).to_be_hidden()
        assert page.get_by_role("dialog").get_by_label("E-mail address").input_value() == "someone@example.com"
        visit.found = [one for one in visit.found if "ERR_INTERNET_DISCONNECTED" not in one]


def test_a_page_that_is_none(console: Api, browser: Browser) -> None:
    with browser.visit("/", person=console.person("viewer")) as visit:
        visit.page.evaluate("history.pushState(null, '', '/nowhere'); dispatchEvent(new PopStateEvent('popstate'))")
        expect(visit.page.get_by_role("heading", name="There is no such page")).to_be_visible()


# Pages that mails link to
# ---------------------------------------------------------------------------------------------------------------------


def test_someone_registers_and_changes_the_password(console: Api, browser: Browser) -> None:
    body = new_registration()
    with browser.visit("/register", expects={422}) as visit:
        page = visit.page
        page.get_by_label("Your name").fill(body["display_name"])
        page.get_by_label("E-mail address").fill(body["email"])
        page.get_by_role("textbox", name="Password").fill("password1234")
        page.get_by_label("Name of your tenant").fill(body["tenant_name"])
        page.get_by_role("button", name="Create account").click()
        expect(page.get_by_role("textbox", name="Password")).to_be_focused()
        expect(page.locator(".field .error:not(:empty)")).to_have_count(1)
        page.get_by_role("textbox", name="Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()
        expect(page.get_by_role("heading", name=body["tenant_name"])).to_be_visible()
        page.get_by_role("link", name="Security").click()
        visit.settle()
        page.get_by_label("Current password").fill("not this one at all")
        page.get_by_label("New password").fill("seven violet umbrellas hum")
        page.get_by_role("button", name="Change password").click()
        expect(page.get_by_text("This is wrong.")).to_be_visible()
        page.get_by_label("Current password").fill(PASSWORD)
        page.get_by_role("button", name="Change password").click()
        expect(page.get_by_text("Your password is changed")).to_be_visible()


def test_sessions_are_ended_one_by_one_and_all_at_once(console: Api, browser: Browser) -> None:
    newcomer = register(console)
    with browser.visit("/settings/security", person=newcomer) as visit:
        with browser.visit("/settings/security", person=newcomer, expects={401}) as other:
            visit.page.reload()
            visit.settle()
            rows = visit.page.get_by_role("row").filter(has_text="Chrome on Linux")
            rows.filter(has_not_text="This one").get_by_role("button", name="End").click()
            visit.page.get_by_role("dialog").get_by_role("button", name="End session").click()
            expect(rows).to_have_count(1)
            other.page.get_by_role("link", name="Members").click()
            expect(other.page.get_by_role("heading", name="Log in")).to_be_visible()
        visit.page.get_by_role("button", name="Sign out everywhere").click()
        visit.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
        expect(visit.page.get_by_role("heading", name="Log in")).to_be_visible()
    assert newcomer.client.get("/api/v1/me").status_code == 401


def test_a_link_is_followed_in_another_browser(console: Api, browser: Browser) -> None:
    """Whoever follows it chooses the password: the one that was given at the registration may be a stranger's."""
    token = ask_to_register(console)
    with browser.visit(f"/verify#token={token}", expects={422}) as visit:
        page = visit.page
        assert token not in stored(page)
        expect(page.get_by_text("This makes the account of")).to_contain_text("@")
        page.get_by_role("button", name="Confirm").click()
        page.get_by_role("textbox", name="Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        expect(page.get_by_role("heading", name="Waiting")).to_be_visible()


def test_a_forgotten_password_is_set_anew(console: Api, browser: Browser) -> None:
    newcomer = register(console)
    with browser.visit("/password-reset") as visit:
        visit.page.get_by_label("E-mail address").fill(newcomer.email)
        visit.page.get_by_role("button", name="Send the link").click()
        expect(visit.page.get_by_text("a link is on its way")).to_be_visible()
        token = mail_token(console, newcomer.email, "password_reset")
        visit.page.goto("about:blank")
        visit.go(f"/password-reset#token={token}")
        assert token not in stored(visit.page)
        visit.page.get_by_label("New password").fill("seven violet umbrellas hum")
        visit.page.get_by_role("button", name="Set password").click()
        expect(visit.page.get_by_text("Your password is set.")).to_be_visible()
        visit.page.get_by_role("link", name="Log in").click()
        visit.log_in(newcomer.email, "seven violet umbrellas hum")
        assert heading(visit.page) == newcomer.registration["tenant_name"]


# The tests themselves
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (
            "document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:9/x.png'}))",
            "img-src",
        ),
        (
            "document.body.append(document.createElement('style')); document.body.lastChild.textContent = 'p {}'",
            "style-src",
        ),
        ("document.body.insertAdjacentHTML('beforeend', '<b>x</b>')", "TrustedHTML"),
        ("fetch('/api/v1/nowhere')", "404"),
        ("setTimeout(() => { throw new Error('thrown') })", "thrown"),
        ("console.warn('warned')", "warned"),
    ],
)
def test_a_visit_fails_on_what_must_not_happen(browser: Browser, script: str, found: str) -> None:
    def happen() -> None:
        with browser.visit("/") as visit:
            visit.page.evaluate(f"() => {{ {script} }}")
            visit.page.wait_for_timeout(300)

    with pytest.raises((AssertionError, Error), match=found):
        happen()
