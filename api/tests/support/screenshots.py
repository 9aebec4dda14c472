"""`make screenshots`: the console's main pages with the demo data and a week that was made up, into docs/screenshots/.

What is shown is there: every figure comes from requests to a running `limena dev`, in a folder that is thrown away.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from playwright.sync_api import ViewportSize

from limena.embedded import embedded_bin_dir
from support import live
from support.console import NARROW, Browser, Visit, open_browser
from support.csrf import PageClient
from support.pgtap import CHECKOUT

FOLDER = CHECKOUT / "docs" / "screenshots"
WIDE: ViewportSize = {"width": 1120, "height": 740}
MODELS = ("claude-sonnet-4-5", "gpt-5-mini", "text-embedding-3-large")


@dataclass
class Person:
    email: str
    password: str


def person(data: dict[str, Any]) -> Person:
    return Person(data["email"], data["password"])


def api(base_url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def ask(client: httpx.Client, method: str, path: str, body: object = None, status: int = 200) -> Any:
    answer = client.request(method, path, json=body)
    if answer.status_code != status:
        raise RuntimeError(f"{method} {path} answered {answer.status_code}: {answer.text}")
    return answer.json() if answer.content else None


def make_history(base_url: str, dev: dict[str, Any]) -> None:
    """What a tenant's week leaves behind."""
    draw = random.Random(7)
    demo = dev["demo"]
    for team, calls in ((demo, 60), (demo["second_tenant"], 25)):
        with api(base_url, team["api_key"]) as client:
            for number in range(calls):
                made = ask(
                    client,
                    "POST",
                    "/api/v1/ai/reservations",
                    {"model": draw.choice(MODELS), "estimated_tokens": draw.randint(2_000, 200_000)},
                    201,
                )
                if number % 9 == 8:
                    continue  # still running
                spent = {"prompt_tokens": draw.randint(900, 160_000), "completion_tokens": draw.randint(80, 9_000)}
                path = f"/api/v1/ai/reservations/{made['id']}/settle"
                ask(client, "POST", path, spent | {"latency_ms": draw.randint(240, 7_000)})
    with api(base_url, demo["api_key"]) as client:
        for name, scopes in (
            ("Nightly export", ["audit:read", "audit:export"]),
            ("Support desk", ["members:read", "tenant:read"]),
            ("AI gateway", ["ai:read", "ai:use", "integrations:use"]),
        ):
            ask(client, "POST", "/api/v1/api-keys", {"name": name, "scopes": scopes}, 201)
        for email, role in (("katherine@acme.example", "admin"), ("dorothy@acme.example", "member")):
            ask(client, "POST", "/api/v1/invitations", {"email": email, "role": role}, 201)
        ask(client, "PUT", "/api/v1/integrations/anthropic", {"secret": "sk-made-up", "label": "Production"})
        members = ask(client, "GET", "/api/v1/members")["items"]
        viewer = next(one["user_id"] for one in members if one["role"] == "viewer")
        for role in ("member", "viewer"):
            ask(client, "PATCH", f"/api/v1/members/{viewer}", {"role": role})
    with PageClient(base_url=base_url, timeout=30) as admin:
        token = ask(admin, "POST", "/api/v1/auth/login", demo["platform_admin"])["access_token"]
        admin.headers["Authorization"] = f"Bearer {token}"
        path = f"/api/v1/admin/tenants/{demo['second_tenant']['tenant_id']}/set-ai-limits"
        ask(admin, "POST", path, {"reason": "Their contract of May", "tokens_per_month": 25_000_000}, 204)
    with psycopg.connect(dev["dsn"]["maintenance"], autocommit=True) as maintenance:
        for _ in range(2):  # the first run sets the fence
            maintenance.execute("select limena.seal_audit_log()")
    with psycopg.connect(dev["dsn"]["readonly"], autocommit=True) as operator:
        operator.execute(
            "select limena.open_access('Ticket 4711: an export stops half-way', p_tenant_id => %s)", [demo["tenant_id"]]
        )


def take(browser: Browser, dev: dict[str, Any]) -> None:
    demo = dev["demo"]
    owner, operator = person(demo), person(demo["platform_admin"])

    def shoot(visit: Visit, name: str) -> None:
        visit.page.mouse.move(0, 0)
        visit.page.screenshot(path=FOLDER / f"{name}.png")

    for theme, size, suffix in (("light", WIDE, ""), ("light", NARROW, "-narrow"), ("dark", WIDE, "-dark")):
        if theme == "dark":
            trip(visit_api=api(browser.base_url, demo["api_key"]))
        with browser.visit("/", theme=theme, size=size) as visit:
            if (theme, size) == ("light", WIDE):
                shoot(visit, "log-in")
            visit.log_in(owner.email, owner.password)
            shoot(visit, f"overview{suffix}")
            for page in ("ai",) if theme == "dark" else ("members", "audit-log", "ai"):
                visit.go(f"/settings/{page}")
                if page == "audit-log":
                    visit.page.locator("summary.event-head").filter(has_text="role changed").first.click()
                shoot(visit, f"{page}{suffix}")
            if theme == "light" and size == WIDE:
                for page in ("integrations", "api-keys"):
                    visit.go(f"/settings/{page}")
                    shoot(visit, page)
            if theme == "light":
                visit.go("/settings/api-keys")
                show_new_key(visit, f"new-key{suffix}")
        with browser.visit("/", theme=theme, size=size, person=operator) as visit:
            visit.go("/admin/usage")
            shoot(visit, f"usage{suffix}")


def trip(visit_api: httpx.Client) -> None:
    """One call more than the owner allows: the dark pictures have a banner."""
    with visit_api as client:
        used = ask(client, "GET", "/api/v1/ai/quota")["calls"]["used"]
        ask(client, "PATCH", "/api/v1/ai/settings", {"calls_per_hour": used})
        ask(client, "POST", "/api/v1/ai/reservations", {"model": MODELS[0], "estimated_tokens": 1000}, 429)


def show_new_key(visit: Visit, name: str) -> None:
    page = visit.page
    page.get_by_role("button", name="Create an API key").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("Made for a picture")
    dialog.get_by_label("members:read").check()
    if "narrow" not in name:
        page.screenshot(path=FOLDER / "scopes.png")
    dialog.get_by_role("button", name="Create", exact=True).click()
    key = page.locator(".key")
    key.wait_for()
    page.screenshot(path=FOLDER / f"{name}.png")
    dialog.get_by_role("button", name="Copy").click()
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name="Done").click()
    row = page.get_by_role("row").filter(has_text="Made for a picture").filter(has_text="Active")
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    row.wait_for(state="detached")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()
    folder = Path(tempfile.mkdtemp(prefix="limena-screenshots-"))
    folder.chmod(0o711)
    running = live.start(folder / "dev", embedded_bin_dir())
    try:
        make_history(running.base_url, running.dev)
        with open_browser(running.base_url) as browser:
            take(browser, running.dev)
    finally:
        running.stop()
        shutil.rmtree(folder)
    size = sum(one.stat().st_size for one in FOLDER.glob("*.png"))
    print(f"{len(list(FOLDER.glob('*.png')))} pictures in {FOLDER.relative_to(CHECKOUT)}, {size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
