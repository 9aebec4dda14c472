"""`limena dev` as somebody at a terminal meets it: real processes, real signals, a real PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from limena import demo
from limena.dev import DevError, _Folder, development_environment
from limena.doctor import find_problems
from support.databases import Database
from support.live import Live, free_port

StartLive = Callable[..., Live]
NewFolder = Callable[[], Path]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def command(data_dir: Path, *arguments: str, port: int | None = None) -> list[str]:
    port = free_port() if port is None else port
    limena = [sys.executable, "-m", "limena.cli", "dev"]
    return [*limena, "--port", str(port), "--data-dir", str(data_dir), *arguments]


def refused(data_dir: Path, *arguments: str, port: int | None = None, environment: dict[str, str] | None = None) -> str:
    """What it says on stderr; it ends with 1 and without a traceback."""
    done = subprocess.run(
        command(data_dir, *arguments, port=port),
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done
    assert done.stderr.startswith("limena: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def postgres_processes(data_dir: Path) -> list[int]:
    """Those that work in the folder's cluster."""
    cluster = data_dir / "postgres" / "cluster"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").samefile(cluster):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def me(live: Live, key: str) -> Any:
    answer = httpx.get(f"{live.base_url}/api/v1/me", headers={"Authorization": f"Bearer {key}"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


# what it leaves there


def test_dev_json_is_as_the_contract_has_it(live: Live) -> None:
    dev = live.dev
    assert set(dev) == {"base_url", "dsn", "demo"}
    assert dev["base_url"] == live.base_url
    assert set(dev["dsn"]) == {"superuser", "app", "auth", "readonly", "maintenance"}
    for name, dsn in dev["dsn"].items():
        with psycopg.connect(dsn) as connection:
            row = connection.execute("select session_user, current_database()").fetchone()
            assert row == ("postgres" if name == "superuser" else f"limena_{name}", "limena")
    tenants = {
        me(live, dev["demo"]["api_key"])["tenant"]["id"],
        me(live, dev["demo"]["second_tenant"]["api_key"])["tenant"]["id"],
    }
    assert tenants == {dev["demo"]["tenant_id"], dev["demo"]["second_tenant"]["tenant_id"]}


def test_the_folder_is_readable_by_its_owner_alone(live: Live) -> None:
    assert mode(live.data_dir) == 0o700
    for name in ("dev.json", "jwt-key.pem", "lock"):
        assert mode(live.data_dir / name) == 0o600
    assert not list(live.data_dir.glob(".*.tmp"))
    assert not (live.data_dir / "demo.pending").exists()
    assert (live.data_dir / ".gitignore").read_text() == "*\n"


def test_the_printed_curl_line_works_when_it_is_pasted(live: Live) -> None:
    if shutil.which("curl") is None:
        pytest.fail("curl is needed to try the line that is printed for it")
    lines = [line for line in live.output.read_text().splitlines() if line.startswith("curl ")]
    assert lines == [f"curl -s -H 'Authorization: Bearer {live.dev['demo']['api_key']}' {live.base_url}/api/v1/me"]
    done = subprocess.run(lines[0], shell=True, capture_output=True, text=True, check=True)  # noqa: S602
    assert json.loads(done.stdout)["tenant"]["name"] == "Acme"


def test_it_prints_the_address_a_log_in_and_a_key_and_no_other_secret(live: Live) -> None:
    printed, shown = live.output.read_text(), live.dev["demo"]
    for text in (live.base_url, shown["email"], shown["password"], shown["api_key"]):
        assert text in printed
    others = [shown["platform_admin"], shown["second_tenant"], *shown["people"].values()]
    for person in others:
        assert person["password"] not in printed
    assert "PRIVATE KEY" not in printed


def test_the_printed_log_in_logs_in(live: Live) -> None:
    with live.client() as client:
        csrf = client.get("/api/v1/auth/csrf")
        headers = {"X-CSRF-Token": csrf.json()["csrf_token"]} if csrf.status_code == 200 else {}
        body = {"email": live.dev["demo"]["email"], "password": live.dev["demo"]["password"]}
        answer = client.post("/api/v1/auth/login", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["tenant"]["id"] == live.dev["demo"]["tenant_id"]


def test_it_listens_on_loopback_alone_and_says_nothing_of_itself(live: Live) -> None:
    port = int(live.base_url.rpartition(":")[2])
    assert live.base_url == f"http://127.0.0.1:{port}"
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    ]
    assert listening == [f"0100007F:{port:04X}"]
    assert "server" not in httpx.get(f"{live.base_url}/healthz").headers


# stop and start


def test_a_signal_stops_all_of_it_and_a_second_start_has_the_data(start_live: StartLive) -> None:
    """SIGINT, twice as impatient people press it, and SIGHUP, as a closed terminal sends it. (SIGTERM: every other
    test.)"""
    first = start_live()
    assert postgres_processes(first.data_dir)
    first.process.send_signal(signal.SIGINT)
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(60) == 0
    assert postgres_processes(first.data_dir) == []
    assert first.output.read_text().endswith("Stopping.\n")

    second = start_live(data_dir=first.data_dir)
    assert second.dev["demo"] == first.dev["demo"]
    assert me(second, second.dev["demo"]["api_key"])["tenant"]["id"] == first.dev["demo"]["tenant_id"]
    assert "Making" not in second.output.read_text()
    second.process.send_signal(signal.SIGHUP)
    assert second.process.wait(60) == 0
    assert postgres_processes(first.data_dir) == []


def test_after_kill_9_the_next_start_goes_on_and_completes_the_demo_data(
    start_live: StartLive, new_folder: NewFolder, bin_dir: Path
) -> None:
    data_dir = new_folder() / "dev"
    environment = {**os.environ, "LIMENA_DEV_BINDIR": str(bin_dir)}
    process = subprocess.Popen(command(data_dir), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not (data_dir / "demo.pending").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (data_dir / "dev.json").exists()
    plan = demo.Plan.from_json((data_dir / "demo.pending").read_text())

    second = start_live(data_dir=data_dir)
    shown = second.dev["demo"]
    assert shown["password"] == plan.first.owner.password
    assert me(second, shown["api_key"])["role"] == "owner"
    assert me(second, shown["second_tenant"]["people"]["admin"]["api_key"])["role"] == "admin"
    assert not (data_dir / "demo.pending").exists()
    second.process.kill()
    second.process.wait()

    third = start_live(data_dir=data_dir)
    assert third.dev["demo"] == shown
    assert me(third, shown["api_key"])["role"] == "owner"


@pytest.mark.parametrize("printed", ["Making a PostgreSQL", "Making demo data"])
def test_sigterm_during_the_start_leaves_nothing_running(printed: str, new_folder: NewFolder, bin_dir: Path) -> None:
    data_dir = new_folder() / "dev"
    environment = {**os.environ, "LIMENA_DEV_BINDIR": str(bin_dir)}
    with subprocess.Popen(
        command(data_dir), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.decode().startswith(printed):
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read().decode()
        assert process.wait(60) == 0, rest
    assert rest.endswith("Stopping.\n")
    assert "Traceback" not in rest
    assert not (data_dir / "postgres" / "cluster").exists() or postgres_processes(data_dir) == []


def test_without_demo_data_and_with_it_later_and_with_its_passwords_lost(start_live: StartLive, bin_dir: Path) -> None:
    bare = start_live("--no-demo")
    assert bare.dev["demo"] is None
    assert "curl" not in bare.output.read_text()
    assert bare.stop() == 0

    with_demo = start_live(data_dir=bare.data_dir)
    assert me(with_demo, with_demo.dev["demo"]["api_key"])
    assert with_demo.stop() == 0

    (bare.data_dir / "dev.json").unlink()
    told = refused(bare.data_dir, environment={"LIMENA_DEV_BINDIR": str(bin_dir)})
    assert "no longer has its passwords" in told


# what it refuses


def test_a_second_start_on_the_same_folder_is_refused(live: Live) -> None:
    told = refused(live.data_dir)
    assert f"A limena dev (process {live.process.pid}) is using {live.data_dir}: stop it" in told
    assert httpx.get(f"{live.base_url}/healthz").status_code == 200


def test_a_taken_port_is_told_before_the_database_is_made(new_folder: NewFolder) -> None:
    data_dir = new_folder() / "dev"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = refused(data_dir, port=port)
    assert told == f"limena: Port {port} is taken by another program: stop it, or name another with --port.\n"
    assert not (data_dir / "postgres").exists()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    tmp_path.chmod(0o755)
    assert "holds other things, and limena dev did not make it" in refused(tmp_path)
    assert mode(tmp_path) == 0o755
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "names",
    [
        ("lock",),
        ("lock", ".draft.tmp"),
        ("lock", "thesis.txt"),
        ("lock", ".dev.json.tmp"),
        ("dev.json",),
        (".gitignore",),
    ],
)
def test_a_folder_with_a_file_named_like_one_of_ours_is_left_alone(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("mine")
    tmp_path.chmod(0o755)
    assert "holds other things, and limena dev did not make it" in refused(tmp_path)
    assert mode(tmp_path) == 0o755
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == dict.fromkeys(names, "mine")


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_folder_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "dev")
    assert re.search(r"cannot be (used|made) \(", refused(tmp_path / "dev"))


def test_production_is_refused(tmp_path: Path) -> None:
    told = refused(tmp_path / "dev", environment={"LIMENA_ENV": "production"})
    assert "limena dev is for development" in told
    assert not (tmp_path / "dev").exists()


def test_a_setting_out_of_range_is_refused_in_the_words_of_the_configuration(
    new_folder: NewFolder, bin_dir: Path
) -> None:
    environment = {"LIMENA_DEV_BINDIR": str(bin_dir), "LIMENA_BCRYPT_COST": "99"}
    data_dir = new_folder() / "dev"
    assert "LIMENA_BCRYPT_COST is '99': it is a whole number from 4 to 16" in refused(data_dir, environment=environment)
    assert postgres_processes(data_dir) == []


def test_a_folder_of_programs_without_postgresql_is_refused(new_folder: NewFolder, tmp_path: Path) -> None:
    refused(new_folder() / "dev", environment={"LIMENA_DEV_BINDIR": str(tmp_path)})


def test_secrets_that_have_become_readable_to_all_are_refused(tmp_path: Path) -> None:
    folder = _Folder(tmp_path / "dev")
    with folder.locked():
        pem = folder.jwt_key()
        assert folder.jwt_key() == pem
        (folder.path / "jwt-key.pem").chmod(0o644)
        with pytest.raises(DevError, match="everyone on this machine may read or change"):
            folder.jwt_key()


def test_an_own_folder_that_was_opened_is_closed_again_and_swept(tmp_path: Path) -> None:
    folder = _Folder(tmp_path / "dev")
    with folder.locked():
        pass
    folder.path.chmod(0o755)
    (folder.path / ".dev.json.0123456789abcdef.tmp").write_text("left by a kill -9")
    with folder.locked():
        assert mode(folder.path) == 0o700
        assert {entry.name for entry in folder.path.iterdir()} == {"lock", ".gitignore"}


@pytest.mark.parametrize("text", ["{", "[]", "null", "{}", '{"base_url": "", "demo": null, "dsn": {"app": ""}}'])
def test_a_dev_json_or_a_plan_that_was_spoilt_is_told(text: str, tmp_path: Path) -> None:
    folder = _Folder(tmp_path / "dev")
    with folder.locked():
        assert folder.read_dev() is None
        assert folder.read_plan() is None
        for name, read in (("dev.json", folder.read_dev), ("demo.pending", folder.read_plan)):
            (folder.path / name).write_text(text)
            (folder.path / name).chmod(0o600)
            with pytest.raises(DevError, match="is not what limena dev wrote"):
                read()


# a server of one's own


def own_server(database: Database) -> dict[str, str]:
    return {
        "LIMENA_ENV": "development",
        "LIMENA_DEPLOY_DSN": database.dsn(),
        "LIMENA_APP_DSN": database.dsn("limena_app"),
        "LIMENA_AUTH_DSN": database.dsn("limena_auth"),
        "LIMENA_READONLY_DSN": database.dsn("limena_readonly"),
        "LIMENA_MAINTENANCE_DSN": database.dsn("limena_maintenance"),
    }


def test_any_existing_server_works_through_configuration(
    start_live: StartLive, empty_database: Callable[[], Database]
) -> None:
    database = empty_database()
    live = start_live(environment=own_server(database))
    assert live.dev["dsn"]["superuser"] == database.dsn()
    assert not (live.data_dir / "postgres").exists()
    assert me(live, live.dev["demo"]["api_key"])["role"] == "owner"
    assert live.stop() == 0
    with database.connect() as connection:  # it is not ours to stop
        assert connection.execute("select count(*) from limena.users").fetchone() == (9,)


def test_an_existing_server_is_used_only_when_that_is_meant(
    empty_database: Callable[[], Database], tmp_path: Path
) -> None:
    environment = own_server(empty_database())
    told = refused(tmp_path / "dev", environment={**environment, "LIMENA_ENV": ""})
    assert "set LIMENA_ENV=development as well" in told
    told = refused(tmp_path / "dev", environment={**environment, "LIMENA_APP_DSN": "", "LIMENA_READONLY_DSN": ""})
    assert "LIMENA_APP_DSN, LIMENA_READONLY_DSN are missing" in told


# for the other commands


def test_the_database_of_a_stopped_one_is_started_for_a_command(start_live: StartLive, bin_dir: Path) -> None:
    live = start_live("--no-demo")
    assert live.stop() == 0
    with development_environment(live.data_dir, {"LIMENA_DEV_BINDIR": str(bin_dir)}) as env:
        assert postgres_processes(live.data_dir)
        with psycopg.connect(env["LIMENA_APP_DSN"]) as connection:
            assert connection.execute("select session_user").fetchone() == ("limena_app",)
        assert find_problems(env) == []
    assert postgres_processes(live.data_dir) == []


def test_a_running_one_is_used_as_it_is(live: Live) -> None:
    before = postgres_processes(live.data_dir)
    with development_environment(live.data_dir, {}) as env:
        assert env["LIMENA_DEPLOY_DSN"] == live.dev["dsn"]["superuser"]
        assert env["LIMENA_ENV"] == "development"
    assert set(before) & set(postgres_processes(live.data_dir))


def test_a_folder_in_which_nothing_ran_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(DevError, match="No limena dev has run in"),
        development_environment(tmp_path / "none", {}),
    ):
        pass
    assert not (tmp_path / "none").exists()
