"""limena.embedded: what it starts, where it writes, and what it does about the traces of an accident."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from limena import embedded
from limena.embedded import EmbeddedPostgresError, PostgresServer

QUICK = {"fsync": "off"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about what root's servers do")


@pytest.fixture
def make(bin_dir: Path) -> Iterator[Callable[..., PostgresServer]]:
    made: list[PostgresServer] = []

    def build(folder: Path, programs: Path = bin_dir) -> PostgresServer:
        made.append(PostgresServer(folder, programs, QUICK))
        return made[-1]

    yield build
    for server in made:
        server.stop()
    for data_dir in {server.data_dir for server in made}:
        shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture
def folder(new_folder: Callable[[], Path]) -> Path:
    return new_folder() / "pg"


def ask(server: PostgresServer, question: str) -> object:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
        return row[0] if row else None


def change(server: PostgresServer, statement: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(statement.encode())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_working(pid: int) -> bool:
    """A zombie does not count: in a container, nobody may be there to collect it."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" not in status.read_text()


def test_a_fresh_start_gives_a_database_of_the_expected_kind(make: Callable[..., PostgresServer], folder: Path) -> None:
    server = make(folder)
    server.start()
    assert ask(server, "select current_database()") == "limena"
    assert str(ask(server, "show server_version")).startswith(server.version)
    assert ask(server, "show data_checksums") == "on"
    assert ask(server, "show server_encoding") == "UTF8"
    assert ask(server, "select upper('straße ñ')") in ("STRASSE Ñ", "STRAßE Ñ")


def test_data_outlives_a_stop(make: Callable[..., PostgresServer], folder: Path) -> None:
    server = make(folder)
    server.start()
    change(server, "create table kept as select 7 as number")
    server.stop()
    again = make(folder)
    again.start()
    assert ask(again, "select number from kept") == 7


def test_data_outlives_kill_9(make: Callable[..., PostgresServer], folder: Path) -> None:
    server = make(folder)
    server.start()
    change(server, "create table kept as select 7 as number")
    server.kill()
    assert (folder / "cluster" / "postmaster.pid").exists()
    server.start()
    assert ask(server, "select number from kept") == 7
    assert "not properly shut down" in server.log_path.read_text()


def test_a_pid_file_with_a_number_that_someone_else_has_now_does_not_block(
    make: Callable[..., PostgresServer], folder: Path
) -> None:
    server = make(folder)
    server.start()
    owner = (folder / "cluster").stat()
    server.kill()
    # A process of the very account that the server runs as: PostgreSQL alone would take it for a server.
    other = subprocess.Popen(
        ["sleep", "60"],
        cwd="/",
        user=owner.st_uid if os.geteuid() == 0 else None,
        group=owner.st_gid if os.geteuid() == 0 else None,
    )
    try:
        pid_file = folder / "cluster" / "postmaster.pid"
        pid_file.write_text("\n".join([str(other.pid), *pid_file.read_text().splitlines()[1:]]) + "\n")
        server.start()
        assert ask(server, "select 1") == 1
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_server_whose_starter_was_killed_is_replaced(
    make: Callable[..., PostgresServer], folder: Path, bin_dir: Path
) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from limena.embedded import PostgresServer; "
        "server = PostgresServer(Path(sys.argv[1]), Path(sys.argv[2]), {'fsync': 'off'}); server.start(); "
        "print(server.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(bin_dir)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    left_over = int(done.stdout)
    assert is_working(left_over)
    server = make(folder)
    server.start()
    assert ask(server, "select 1") == 1
    assert not is_working(left_over)


@pytest.mark.parametrize("name", ["cluster", "cluster.new"])
def test_what_else_works_in_the_folder_is_left_alone(
    make: Callable[..., PostgresServer], folder: Path, name: str
) -> None:
    server = make(folder)
    server.start()
    server.kill()
    (folder / name).mkdir(exist_ok=True)
    # It calls itself postgres, as an editor with that file open might.
    other = subprocess.Popen(["postgres", "60"], executable=shutil.which("sleep"), cwd=folder / name)
    try:
        server.start()
        assert ask(server, "select 1") == 1
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_half_made_cluster_is_made_anew(make: Callable[..., PostgresServer], folder: Path, bin_dir: Path) -> None:
    folder.mkdir(mode=0o711)
    program = (
        "import sys; from pathlib import Path; from limena.embedded import PostgresServer; "
        "PostgresServer(Path(sys.argv[1]), Path(sys.argv[2])).start()"
    )
    starter = subprocess.Popen([sys.executable, "-c", program, str(folder), str(bin_dir)])
    half_made = folder / "cluster.new" / "base"
    while not half_made.exists():
        assert starter.poll() is None
        time.sleep(0.01)
    starter.kill()
    starter.wait()
    assert not (folder / "cluster").exists()
    server = make(folder)
    server.start()
    assert ask(server, "select 1") == 1
    assert not (folder / "cluster.new").exists()


def test_there_is_a_socket_in_a_0700_folder_and_nothing_else(make: Callable[..., PostgresServer], folder: Path) -> None:
    server = make(folder)
    server.start()
    assert ask(server, "show listen_addresses") == ""
    assert mode(server.socket_dir) == 0o700
    assert server.socket_dir == folder / "run"
    assert mode(folder / "cluster") == 0o700
    assert mode(server.log_path) == 0o600
    assert ask(server, "select string_agg(type || ' ' || auth_method, ',') from pg_hba_file_rules") == "local trust"
    sockets = {os.readlink(fd) for fd in Path(f"/proc/{server.pid}/fd").iterdir() if "socket:" in os.readlink(fd)}
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    inodes = {line.split()[9] for line in listening.splitlines() if line.split()[3] == "0A"}
    assert not inodes & {name.removeprefix("socket:[").removesuffix("]") for name in sockets}


def test_no_permission_outside_the_folder_changes(make: Callable[..., PostgresServer], folder: Path) -> None:
    places = [*folder.parents, embedded.embedded_bin_dir(), *embedded.embedded_bin_dir().parents]
    before = {place: (place.stat().st_mode, place.stat().st_uid) for place in places}
    server = make(folder)
    server.start()
    server.stop()
    assert {place: (place.stat().st_mode, place.stat().st_uid) for place in places} == before


def test_a_second_start_on_the_same_folder_is_refused(make: Callable[..., PostgresServer], folder: Path) -> None:
    server = make(folder)
    server.start()
    with pytest.raises(EmbeddedPostgresError, match="Another process is using"):
        make(folder).start()
    with pytest.raises(EmbeddedPostgresError, match="running already"):
        server.start()
    assert ask(server, "select 1") == 1


def test_a_folder_that_holds_other_things_is_refused(make: Callable[..., PostgresServer], folder: Path) -> None:
    folder.mkdir(mode=0o711)
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(EmbeddedPostgresError, match=r"holds other things \(thesis\.txt\)"):
        make(folder).start()
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_data_of_another_major_version_is_refused(make: Callable[..., PostgresServer], folder: Path) -> None:
    server = make(folder)
    server.start()
    server.stop()
    (folder / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match="holds data of PostgreSQL 9"):
        server.start()


@pytest.mark.parametrize("name", ["PG_VERSION", "postmaster.pid"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_the_server_may_exchange_is_not_followed(
    make: Callable[..., PostgresServer], folder: Path, tmp_path: Path, name: str, kind: str
) -> None:
    server = make(folder)
    server.start()
    server.stop()
    path, secret = folder / "cluster" / name, tmp_path / "secret"
    secret.write_text("a secret of root's\n")
    path.unlink(missing_ok=True)
    writer = None
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(path)
        # A reader would wait for a writer: there is one, so that the test ends in any case.
        writer = subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', str(secret), str(path)], stderr=subprocess.DEVNULL)
    else:
        path.mkdir()
    try:
        with pytest.raises(EmbeddedPostgresError) as raised:
            server.start()
    finally:
        if writer is not None:
            writer.kill()
            writer.wait()
    told = "".join(traceback.format_exception(raised.value))
    assert f"{path} is no ordinary file" in told
    assert "a secret" not in told


@pytest.mark.parametrize("text", ["a secret\n", "", "१८\n", "9" * 5000])
def test_a_version_that_is_none_is_not_repeated(make: Callable[..., PostgresServer], folder: Path, text: str) -> None:
    server = make(folder)
    server.start()
    server.stop()
    (folder / "cluster" / "PG_VERSION").write_text(text)
    with pytest.raises(EmbeddedPostgresError, match=r"PG_VERSION does not hold the version of a PostgreSQL\.$"):
        server.start()


def test_a_setting_that_the_server_refuses_is_told_in_its_words(bin_dir: Path, folder: Path) -> None:
    server = PostgresServer(folder, bin_dir, {**QUICK, "max_connections": "many"})
    with pytest.raises(EmbeddedPostgresError, match='invalid value for parameter "max_connections"'):
        server.start()


def test_a_path_too_long_for_a_socket_gets_a_folder_of_its_own(
    make: Callable[..., PostgresServer], new_folder: Callable[[], Path]
) -> None:
    server = make(new_folder() / ("long" * 20) / "pg")
    server.start()
    socket_dir = server.socket_dir
    assert ask(server, "select 1") == 1
    assert mode(socket_dir) == 0o700
    assert socket_dir.parent == Path(tempfile.gettempdir())
    server.stop()
    assert not socket_dir.exists()
    assert not (server.data_dir / "run").is_symlink()


def test_a_socket_folder_that_a_killed_start_left_is_removed(
    new_folder: Callable[[], Path], bin_dir: Path, make: Callable[..., PostgresServer]
) -> None:
    folder = new_folder() / ("long" * 20) / "pg"
    folder.parent.mkdir(mode=0o711)
    program = (
        "import os, signal, sys; from pathlib import Path; from limena.embedded import PostgresServer; "
        "server = PostgresServer(Path(sys.argv[1]), Path(sys.argv[2]), {'fsync': 'off'}); server.start(); "
        "print(server.socket_dir, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder), str(bin_dir)], capture_output=True, check=False)
    left = Path(done.stdout.decode().strip())
    assert left.name.startswith("limena-")
    assert left.is_dir()
    server = make(folder)
    server.start()
    assert ask(server, "select 1") == 1
    assert not left.exists()


def test_a_folder_without_a_server_is_told(make: Callable[..., PostgresServer], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="no PostgreSQL server in"):
        make(folder, tmp_path).start()


@as_root
def test_root_starts_a_server_that_writes_to_its_folders_alone(
    make: Callable[..., PostgresServer], folder: Path, new_folder: Callable[[], Path]
) -> None:
    server = make(folder)
    server.start()
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if ":" in line
    )
    assert "0" not in status["Uid"].split() + status["Gid"].split() + status["Groups"].split()
    assert int(status["CapEff"], 16) == 0
    outside = new_folder()
    for target in (outside / "x", folder / "x", folder / "log"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            change(server, f"copy (select 1) to '{target}'")
    assert not list(outside.iterdir())


@as_root
@pytest.mark.parametrize("name", ["data", "program"])
def test_below_a_closed_folder_root_starts_it_all_the_same(
    make: Callable[..., PostgresServer], new_folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # Copies of the programs are kept there.
    monkeypatch.setattr(tempfile, "tempdir", str(new_folder()))
    closed = new_folder()
    closed.chmod(0o700)
    if name == "data":
        server = make(closed / "pg")
    else:
        package = embedded.embedded_bin_dir().parent.parent
        for part in (f"{package.name}/pginstall18", f"{package.name}.libs"):
            shutil.copytree(package.parent / part, closed / part)
        server = make(new_folder() / "pg", closed / package.name / "pginstall18" / "bin")
    server.start()
    change(server, "create table kept as select 7 as number")
    server.kill()
    server.start()
    assert ask(server, "select number from kept") == 7
    assert mode(closed) == 0o700


@as_root
def test_what_cannot_be_reached_is_told_with_the_folder_that_is_closed(
    make: Callable[..., PostgresServer], new_folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = new_folder()
    closed.chmod(0o700)
    programs = closed / "bin"
    programs.mkdir()
    for program in ("postgres", "initdb"):
        (programs / program).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 18.4'\n")
        (programs / program).chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match=f"cannot reach .*because {closed} is closed to others"):
        make(new_folder() / "pg", programs).start()
    # Below a closed folder the socket goes to the temporary folder, which must be open then.
    monkeypatch.setattr(tempfile, "tempdir", str(closed))
    # (Where this checkout lies below a closed folder as well, the sentence is about the programs' copy.)
    with pytest.raises(EmbeddedPostgresError, match=f"PostgreSQL does not run as root.* reach .*{closed}"):
        make(closed / "pg").start()


@as_root
def test_data_of_another_user_is_refused_to_ordinary_users_and_kept_by_root(
    make: Callable[..., PostgresServer], folder: Path, bin_dir: Path
) -> None:
    nobody = pwd.getpwnam("nobody")
    folder.mkdir(mode=0o711)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    program = (
        "import os, sys; from pathlib import Path; from limena.embedded import PostgresServer; "
        "os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[4])); "
        "PostgresServer(Path(sys.argv[1]), Path(sys.argv[2])).start()"
    )
    arguments = [sys.executable, "-c", program, str(folder), str(bin_dir), str(nobody.pw_gid)]
    server = make(folder)
    if (
        embedded._closed_folder(bin_dir.resolve() / "postgres", embedded._Account("", nobody.pw_uid, nobody.pw_gid))
        is None
    ):
        subprocess.run([*arguments, str(nobody.pw_uid)], check=True)
        server.start()
        assert Path(f"/proc/{server.pid}").stat().st_uid == nobody.pw_uid
    else:
        server.start()
    done = subprocess.run([*arguments, "12345"], capture_output=True, text=True, check=False)
    assert f"belongs to the user with id {(folder / 'cluster').stat().st_uid}" in done.stderr
