"""The files of db/, read, ordered and hashed: what a database is made from.

Knows the order in which files run and what a file may not contain, and nothing about any database. Refuses a source in
which the order would be a matter of luck (two schema files of one number, an unknown domain) or in which a file would
leave the deploy's transaction or its role. The rules: docs/decisions/0010-how-a-deploy-runs.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from limena.sql_text import SqlTextError, Statement, split_statements

ROLES_FILE: Final = "schema/0001_roles.sql"
DOMAINS: Final = ("context", "audit", "identity", "api_keys", "integrations", "ai", "operators", "platform")

Kind = Literal["schema", "functions", "policies"]

_SCHEMA_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_OBJECT_NAME = re.compile(r"[a-z_][a-z0-9_]*\.sql")
_NOT_TRANSACTIONAL = re.compile(r"--\s*transactional:\s*(\w+)\s*")
_TRANSACTION_CONTROL = {
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "prepare",
    "discard",
}
_SETTINGS_OUTSIDE = {"lock_timeout", "statement_timeout", "maintenance_work_mem", "max_parallel_maintenance_workers"}


class SourceError(Exception):
    """One line for each thing that is wrong with the files themselves."""


@dataclass(frozen=True)
class SourceFile:
    """A file of db/: `path` is below db/ with forward slashes, `sha256` is of the text with LF line ends, in hex."""

    path: str
    text: str
    sha256: str
    statements: tuple[Statement, ...]
    transactional: bool

    @property
    def kind(self) -> str:
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """The object that a functions or policies file is named after."""
        return Path(self.path).stem

    @property
    def is_view(self) -> bool:
        words = self.statements[0].words if self.statements else ()
        return words[:2] == ("create", "view") or words[:4] == ("create", "or", "replace", "view")


@dataclass(frozen=True)
class Source:
    """All files, each kind in the order in which it runs, and db/deploy/ by name."""

    schema: tuple[SourceFile, ...]
    functions: tuple[SourceFile, ...]
    policies: tuple[SourceFile, ...]
    deploy: Mapping[str, str]

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return self.schema + self.functions + self.policies


def source_dir() -> Path:
    """The SQL of this program: limena/db of an installed wheel, or db/ of the checkout. Raises SourceError."""
    here = Path(__file__).resolve()
    for candidate in (here.parent / "db", here.parents[2] / "db"):
        if (candidate / "deploy").is_dir():
            return candidate
    raise SourceError("the SQL files that belong to this program are missing from its installation")


def digest(hashes: Mapping[str, str]) -> str:
    """The digest of path → SHA-256, by the formula of limena.deployed_digest()."""
    lines = "\n".join(f"{path} {hashes[path]}" for path in sorted(hashes, key=str.encode))
    return hashlib.sha256(lines.encode()).hexdigest()


def expected_digest(source: Path | None = None) -> str:
    """What limena.deployed_digest() answers in a database that is at this version. Raises SourceError."""
    return digest({file.path: file.sha256 for file in read_source(source or source_dir()).files})


def read_source(root: Path) -> Source:
    """Read and check every file below `root`. Raises SourceError with all findings, one a line."""
    problems: list[str] = []
    schema = _read_folder(root, "schema", problems)
    functions = _read_folder(root, "functions", problems)
    policies = _read_folder(root, "policies", problems)
    if not any(file.path == ROLES_FILE for file in schema):
        problems.append(f"{ROLES_FILE}: is missing; every database starts with it")
    problems += _shared_numbers(schema) + _shared_names(functions) + _shared_names(policies)
    deploy: dict[str, str] = {}
    for path in sorted((root / "deploy").glob("*.sql")):
        file = _read_file(root, path, problems)
        if file is not None:
            deploy[path.stem] = file.text
    if problems:
        raise SourceError("\n".join(problems))
    return Source(
        schema=tuple(sorted(schema, key=lambda file: file.path)),
        # A view is bound to the functions in it when it is made; a function's body is bound to nothing.
        functions=tuple(sorted(functions, key=lambda file: (file.is_view, *_by_domain(file)))),
        policies=tuple(sorted(policies, key=_by_domain)),
        deploy=deploy,
    )


def _by_domain(file: SourceFile) -> tuple[int, str]:
    return DOMAINS.index(file.path.split("/")[1]), file.path


def _read_folder(root: Path, kind: Kind, problems: list[str]) -> list[SourceFile]:
    files: list[SourceFile] = []
    for path in sorted((root / kind).rglob("*.sql")):
        place = path.relative_to(root / kind).parts
        relative = f"{kind}/{'/'.join(place)}"
        if kind == "schema" and not (len(place) == 1 and _SCHEMA_NAME.fullmatch(place[0])):
            problems.append(f"{relative}: a schema file is named schema/NNNN_what_it_does.sql")
        elif kind != "schema" and (len(place) != 2 or place[0] not in DOMAINS):
            problems.append(f"{relative}: belongs into one of the domains {', '.join(DOMAINS)}")
        elif kind != "schema" and not _OBJECT_NAME.fullmatch(place[1]):
            problems.append(f"{relative}: is named after its object, in lower case")
        else:
            file = _read_file(root, path, problems)
            if file is not None:
                files.append(file)
    return files


def _read_file(root: Path, path: Path, problems: list[str]) -> SourceFile | None:
    relative = path.relative_to(root).as_posix()
    try:
        # A checkout on Windows has CRLF; the same file is the same file.
        text = path.read_bytes().decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        problems.append(f"{relative}: is not UTF-8")
        return None
    transactional = True
    for line in text.split("\n", 3)[:3]:
        if marker := _NOT_TRANSACTIONAL.fullmatch(line):
            transactional = marker.group(1) != "false"
            if marker.group(1) not in ("true", "false"):
                problems.append(f"{relative}: '-- transactional:' is followed by true or false")
    if not transactional and (not relative.startswith("schema/") or relative == ROLES_FILE):
        problems.append(f"{relative}: only a schema file after {ROLES_FILE} can be run outside the transaction")
    try:
        statements = _statements(text)
    except SqlTextError as error:
        problems.append(f"{relative}, {error}")
        return None
    if not statements:
        problems.append(f"{relative}: holds no statement")
    if not relative.startswith("deploy/"):
        problems += [
            f"{relative}, line {statement.line}: {finding}"
            for statement in statements
            if (finding := _forbidden(relative, transactional, statement.words)) is not None
        ]
    return SourceFile(relative, text, hashlib.sha256(text.encode()).hexdigest(), statements, transactional)


@cache
def _statements(text: str) -> tuple[Statement, ...]:
    """Kept: a process that reads the files again and again (`limena dev` does) cuts each text once."""
    return tuple(split_statements(text))


def _forbidden(path: str, transactional: bool, words: tuple[str, ...]) -> str | None:
    first = words[0] if words else ""
    if first in _TRANSACTION_CONTROL:
        return f"{first.upper()} is not a file's to say: the deploy holds the transaction"
    if words[:2] in (("set", "role"), ("set", "session"), ("reset", "role")) or words[:3] == ("set", "local", "role"):
        return None if path == ROLES_FILE else "a file runs as limena_owner from its start to its end"
    if first == "reset" or (first == "set" and words[1:2] not in (("local",), ("constraints",))):
        # db/deploy/patience.sql puts these back before the next file.
        if not transactional and first == "set" and words[1:2] and words[1] in _SETTINGS_OUTSIDE:
            return None
        return "a setting would outlive the file: use set local"
    return None


def _shared_numbers(files: Iterable[SourceFile]) -> list[str]:
    first: dict[str, str] = {}
    problems = []
    for file in files:
        other = first.setdefault(file.name[:4], file.path)
        if other != file.path:
            problems.append(
                f"{file.path}: has the number of {other}; which one comes first would be a matter of spelling"
            )
    return problems


def _shared_names(files: Iterable[SourceFile]) -> list[str]:
    first: dict[str, str] = {}
    problems = []
    for file in files:
        other = first.setdefault(file.name, file.path)
        if other != file.path:
            problems.append(f"{file.path}: has the name of {other}, and one object has one file")
    return problems
