"""Calls every function that a login role of ours may execute, with what an attacker would pass, and says what it found.

Which functions there are, with which parameters, pg_proc says; which errors they raise and what permission they need,
their comments. Each call is a transaction on a real log-in of the role, and is rolled back. Before that,
tests.changes() (db/tests/sweep.sql) tells which rows it changed, and what it told is searched for every value that is
not the caller's: another tenant's, or a colleague's that the caller may not read. Arguments with which a function does
what it is for are written down in support/sweep_cases.py, so that one hostile argument among them gets past the checks
of the others.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import TupleRow

from support.databases import Database, run_script
from support.pgtap import CHECKOUT
from support.sweep_cases import (
    ADMINISTRATOR,
    ANSWERS,
    CALLED_WITH,
    CHANGES,
    COLLEAGUES,
    FAILS,
    GENERIC,
    HOSTILE,
    KNOWS,
    LAST_LINES,
    NOTHING,
    OVERDUE,
    PROOFS,
    PROVE_TOGETHER,
    PUBLIC,
    SAID_OF_ONESELF,
    TELLS,
)

EXCEPTIONS: Mapping[str, Mapping[str, str | tuple[str, ...]]] = {
    "ANSWERS": ANSWERS,
    "CHANGES": CHANGES,
    "COLLEAGUES": COLLEAGUES,
    "KNOWS": KNOWS,
    "TELLS": TELLS,
}
LOGINS = ("limena_app", "limena_auth", "limena_readonly", "limena_maintenance")

FIXTURE = CHECKOUT / "db" / "tests" / "sweep.sql"
TIMEOUT = "5s"
"""For one call. The slowest takes a fraction of a second; what never ends is told from what a busy machine delays."""

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UNKNOWN = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")

Arguments: TypeAlias = Mapping[str, str | None]
Row: TypeAlias = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    default: str | None
    """As SQL."""


@dataclass(frozen=True)
class Function:
    """One that somebody may execute, and what its comment says of it."""

    name: str
    parameters: tuple[Parameter, ...]
    is_variadic: bool
    granted_to: tuple[str, ...]
    comment: str

    @cached_property
    def raises(self) -> set[str]:
        """'Raises 42501 without …, LM002 when …'"""
        found = re.search("[Rr]aises .*", self.comment)
        return set(re.findall(r"\b(?:[0-9][0-9A-Z]{4}|P0002|LM[0-9]{3})\b", found[0] if found else ""))

    @cached_property
    def needs(self) -> set[str]:
        """'42501 without ai:read and audit:export'; not where one of several does, or where it depends."""
        permissions = "[a-z_]+:[a-z_]+(?: and [a-z_]+:[a-z_]+)*"
        found = re.search(f"42501 without ({permissions})(?! or| and| where|[a-z_])", self.comment)
        return set(found[1].split(" and ")) if found else set()

    @cached_property
    def call(self) -> str:
        arguments = ", ".join(f"{one.name} => %({one.name})s::{one.type}" for one in self.parameters)
        return f"limena.{self.name}({'variadic ' if self.is_variadic else ''}{arguments})"


@dataclass(frozen=True)
class Actor:
    """A log-in, and how its transactions begin: what stands in FROM, before the function in the target list."""

    name: str
    login: str
    enters: str = ""
    person: str | None = None
    """As SQL, who of a that is: a person, or a key. What is the others' is not theirs."""
    role: str | None = None
    """Whose permissions they have: '' for none; None where it is not permissions that count."""
    may_change: tuple[str, ...] = ()
    """Whose rows: a's, b's, nobody's (the platform's, and what is new)."""
    eyes: str = "a"
    """What is not to be told, see Sweep.foreign."""
    is_refused_with: frozenset[str] = frozenset()
    """Whatever the comment says."""
    is_thorough: bool = False
    """Tries everything. The others try what works, and what b has in its place."""


def _in_a(role: str, *, may_change: tuple[str, ...] = ("a",), is_thorough: bool = False) -> Actor:
    enters = f"from limena.enter_session(tests.session_hash('a', '{role}'), tests.tenant_id('a'))"
    person = f"tests.user_id('a', '{role}')"
    return Actor(f"a's {role}", "limena_app", enters, person, role, may_change, is_thorough=is_thorough)


ACTORS = (
    Actor("nobody", "limena_app", role="", eyes="nobody"),
    Actor(
        "a forger of b's context",
        "limena_app",
        "from set_config('app.current_tenant_id', tests.tenant_id('b')::text, true)",
        role="",
        eyes="nobody",
        is_refused_with=frozenset({"42501"}),
    ),
    _in_a("owner", is_thorough=True),
    _in_a("admin"),
    _in_a("member"),
    _in_a("viewer", may_change=()),
    # With every scope that there is, which is what an admin may.
    Actor(
        "a's key",
        "limena_app",
        "from limena.enter_api_key(tests.key_hash('a'))",
        "tests.api_key_id('a')",
        "admin",
        ("a",),
    ),
    # Before a tenant is known it is a person who is proved: a's owner.
    Actor(
        "authentication",
        "limena_auth",
        person="tests.user_id('a', 'owner')",
        may_change=("a", "nobody"),
        eyes="trusted",
        is_thorough=True,
    ),
    Actor("an operator who declared nothing", "limena_readonly", eyes="nobody"),
    Actor(
        "an operator who declared a",
        "limena_readonly",
        "from limena.resume_access(current_setting('sweep.ticket'))",
        is_thorough=True,
    ),
    Actor("maintenance", "limena_maintenance", may_change=("a", "nobody"), eyes="trusted", is_thorough=True),
)


@dataclass(frozen=True)
class Outcome:
    """What a call came to. `told` is the result, or all that the error says."""

    function: Function
    actor: Actor
    arguments: Arguments
    sqlstate: str | None
    told: str
    changes: tuple[Row, ...] = ()

    def seen(self, asked: str) -> object:
        """What tells one answer from another, when `asked` was asked about."""
        told = bool(self.told) if self.sqlstate is None else self.told.replace(asked, "…")
        return self.sqlstate, told, sorted({table for table, _ in self.changes})

    def __str__(self) -> str:
        arguments = (
            f"{name} => {value if value is None else repr(value[:80])}" for name, value in self.arguments.items()
        )
        return f"{self.function.name}({', '.join(arguments)}) by {self.actor.name}"


@dataclass(frozen=True)
class Finding:
    """What should not be. `kind`: fails, allows, undocumented, changes, tells, answers or knows."""

    kind: str
    outcome: Outcome
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.outcome}: {self.what}"


class Sweep:
    """A database with both tenants in it, and what may be done there."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.needed: set[tuple[str, str]] = set()
        self._connections: dict[str, psycopg.Connection[TupleRow]] = {}
        self._hidden: dict[str, list[str]] = {}
        run_script(database, FIXTURE, {"search_path": "tests"})
        with database.connect() as superuser:
            superuser.execute("select tests.make_tenants(), tests.make_person_of_both(), tests.make_administrator()")
            # b first: a query that takes whatever row it finds finds b's.
            for tenant in ("b", "a"):
                superuser.execute("select tests.furnish(%s)", [tenant])
        with database.connect("limena_readonly") as operator:
            operator.execute("select limena.open_access('what all tenants are told'), limena.close_access()")
            # a first: what was last is b's.
            self._ticket, _ = (
                operator.execute(DECLARATION, [tenant, tenant]).fetchall()[0][0] for tenant in ("a", "b")
            )
        with database.connect("limena_maintenance") as maintenance:
            for _ in range(3):
                maintenance.execute("select limena.seal_audit_log()")
        with database.connect() as superuser:
            superuser.execute("analyze")
        self.rows = self.remember()

    def remember(self) -> list[Row]:
        """From now on, what is there is what was there before."""
        with self.database.connect() as superuser:
            superuser.execute("truncate tests.rows_before")
            superuser.execute(
                """
                insert into tests.rows_before
                select s.relation, s.place, tests.row_at(s.relation, s.place) from tests.rows_standing as s
                """
            )
            return [tuple(row) for (row,) in superuser.execute("select item from tests.rows_before")]

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    # What there is.

    @cached_property
    def functions(self) -> dict[str, Function]:
        """All of ours that a login role may execute, definer functions and others; no two share a name
        (db/tests/platform/test_catalog_functions.sql)."""
        with self.database.connect() as superuser:
            found = superuser.execute(FUNCTIONS, [list(LOGINS)]).fetchall()
        return {
            name: Function(name, tuple(Parameter(*one) for one in parameters), is_variadic, tuple(roles), comment)
            for name, parameters, is_variadic, roles, comment in found
        }

    @cached_property
    def arguments(self) -> Mapping[str, Arguments]:
        """Those of tenant a with which each function does what it is for, as text."""
        asked = [(function.name, one) for function in self.functions.values() for one in function.parameters]
        expressions = [
            # Times as JSON has them, as in `rows`.
            f"to_jsonb({expression}) #>> '{{}}'" if one.type.startswith("timestamp") else f"({expression})::text"
            for name, one in asked
            for expression in [CALLED_WITH.get(f"{name}.{one.name}") or one.default or CALLED_WITH[one.name]]
        ]
        with self.database.connect() as superuser:
            superuser.execute("select set_config('sweep.ticket', %s, false)", [self._ticket])
            values = superuser.execute(f"select {', '.join(expressions)}".encode()).fetchall()[0]
        found: dict[str, dict[str, str | None]] = {name: {} for name in self.functions}
        for (name, one), value in zip(asked, values, strict=True):
            found[name][one.name] = value
        return found

    @cached_property
    def hostile(self) -> dict[str, list[str]]:
        """By type, the hostile values that this version takes."""
        found: dict[str, list[str]] = {}
        with self.database.connect() as superuser:
            for kind, values in HOSTILE.items():
                for value in values:
                    with suppress(psycopg.DataError):
                        superuser.execute(f"select %s::{kind}".encode(), [value])
                        found.setdefault(kind, []).append(value)
        return found

    # Whose it is.

    @cached_property
    def owners(self) -> dict[str, str]:
        """a or b, by the ids of tenants and people, and by the addresses of those who are none yet."""
        found: dict[str, str] = {}
        for table, row in self.rows:
            for one in ("a", "b"):
                if table == "limena.tenants" and row["name"].startswith(f"marker{one} "):
                    found[row["id"]] = one
                if table == "limena.registrations" and f".marker{one}@" in row["email"]:
                    found[row["email"]] = one
        for table, row in self.rows:
            # Who is in both is b's: what of theirs is in no tenant is not a's to change.
            if table == "limena.memberships" and found.get(row["user_id"]) != "b":
                found[row["user_id"]] = found[row["tenant_id"]]
        return found

    def owner(self, table: str, row: Mapping[str, Any]) -> str:
        """a, b or nobody: what is the platform's, or belongs to people and tenants that are new."""
        keys = (
            row["id"] if table == "limena.tenants" else row.get("tenant_id"),
            row["id"] if table == "limena.users" else row.get("user_id"),
            row.get("email"),
        )
        return next((self.owners[key] for key in keys if key in self.owners), "nobody")

    # Whose within a.

    @cached_property
    def people(self) -> dict[str, str]:
        """Who the actors are."""
        with self.database.connect() as superuser:
            return {
                actor.name: superuser.execute(f"select ({actor.person})::text".encode()).fetchall()[0][0]
                for actor in ACTORS
                if actor.person is not None
            }

    @cached_property
    def belonging(self) -> dict[str, list[str]]:
        """By table, the columns that say whose a row is: what refers to a person, a key or a session, and the actor."""
        with self.database.connect() as superuser:
            return dict(superuser.execute(BELONGING).fetchall())

    @cached_property
    def persons_of(self) -> dict[str, set[str]]:
        """By the id of a person, a key or a session of a, who that is: a key is its own and that of who made it."""
        found: dict[str, set[str]] = {}
        for table, row in self.rows:
            if table == "limena.users" and self.owner(table, row) == "a":
                found[row["id"]] = {row["id"]}
            elif table == "limena.sessions" and self.owner(table, row) == "a":
                found[row["id"]] = {row["user_id"]}
            elif table == "limena.api_keys" and self.owner(table, row) == "a":
                found[row["id"]] = {row["id"], row["created_by"]}
        return found

    def is_colleagues(self, actor: Actor, table: str, row: Mapping[str, Any]) -> bool:
        """Whether a row belongs to people or keys of a, of whom the actor is none."""
        if actor.person is None:
            return False
        own = ["id"] if table in ("limena.users", "limena.api_keys") else []
        persons = set[str]().union(
            *(self.persons_of.get(row[column], ()) for column in [*own, *self.belonging.get(table, ())])
        )
        return bool(persons) and self.people[actor.name] not in persons

    def hidden(self, actor: Actor) -> list[str]:
        """What is a colleague's, and nowhere in what the actor may read with SQL of their own."""
        if actor.person is None:
            return []
        if actor.name not in self._hidden:
            connection = self._connection(actor.login)
            readable: set[str] = set()
            try:
                connection.execute(f"select true {actor.enters}".encode())
                for table, columns in (self.granted if actor.enters else {}).items():
                    for (item,) in connection.execute(
                        f"select jsonb_build_array({', '.join(columns)}) from {table}".encode()
                    ).fetchall():
                        readable.update(_values(item))
            finally:
                connection.rollback()
            hidden: set[str] = set()
            for table, row in self.rows:
                if self.is_colleagues(actor, table, row):
                    hidden.update(one for one in _values(row) if len(one) > 6 and not DATE.fullmatch(one))
                else:
                    readable.update(_values(row))
            self._hidden[actor.name] = sorted(hidden - readable)
        return self._hidden[actor.name]

    @cached_property
    def granted(self) -> dict[str, list[str]]:
        """By table and view, the columns that limena_app may read."""
        with self.database.connect() as superuser:
            return dict(superuser.execute(GRANTED).fetchall())

    @cached_property
    def columns_of_b(self) -> dict[tuple[str, str], list[str]]:
        """b's values, by table and column."""
        found: dict[tuple[str, str], list[str]] = {}
        for table, row in self.rows:
            if self.owner(table, row) == "b":
                for column, item in row.items():
                    found.setdefault((table, column), []).extend(_values(item))
        return found

    @cached_property
    def places_of_a(self) -> dict[str, set[tuple[str, str]]]:
        """By a's values, in which tables and columns they stand. Not in the log, which has something of everything."""
        found: dict[str, set[tuple[str, str]]] = {}
        for table, row in self.rows:
            if self.owner(table, row) == "a" and table != "limena.audit_logs":
                for column, item in row.items():
                    if isinstance(item, str):
                        found.setdefault(item, set()).add((table, column))
        return found

    @cached_property
    def foreign(self) -> dict[str, list[str]]:
        """What is not to be told: to a all that is not a's, to nobody anything, to who is trusted what is b's."""
        values: dict[str, set[str]] = {"a": set(), "b": set(), "nobody": set(), "public": set()}
        for table, row in self.rows:
            owner = self.owner(table, row)
            is_public = table in PUBLIC or row.get("action") == "operator.all_access_opened"
            distinct = {one for one in _values(row) if len(one) > 6 and not DATE.fullmatch(one)}
            values["public" if is_public else owner].update(distinct)
            # Whom a shares with b is known to a by name.
            if table == "limena.users" and (row["id"] in self.places_of_a):
                values["a"].update(row[column] for column in ("id", "email", "display_name"))
        a, b, nobody, public = values["a"], values["b"], values["nobody"], values["public"]
        return {
            "a": sorted((b | nobody) - a - public),
            "nobody": sorted((a | b | nobody) - public),
            "trusted": sorted(b - a - public),
        }

    # What is tried.

    def call(self, actor: Actor, function: Function, changed: Arguments) -> Outcome:
        arguments = {**self.arguments[function.name], **changed}
        connection = self._connection(actor.login)
        try:
            rows = connection.execute(f"select ({function.call})::text {actor.enters}".encode(), arguments).fetchall()
            changes = connection.execute("select tests.changes()").fetchall()[0][0]
        except psycopg.Error as error:
            assert not connection.closed, f"the server is gone: {function.name}({changed})"
            said = error.diag
            told = (
                said.message_primary,
                said.message_detail,
                said.message_hint,
                said.column_name,
                said.constraint_name,
            )
            return Outcome(function, actor, arguments, error.sqlstate, "\n".join(one for one in told if one))
        finally:
            connection.rollback()
        told_rows = "\n".join(text for (text,) in rows if text is not None)
        return Outcome(function, actor, arguments, None, told_rows, tuple((table, row) for table, row in changes or ()))

    def _connection(self, login: str) -> psycopg.Connection[TupleRow]:
        if login not in self._connections:
            connection = self._connections[login] = self.database.connect(login, autocommit=False)
            connection.execute("select set_config('sweep.ticket', %s, false)", [self._ticket])
            connection.execute("select set_config('statement_timeout', %s, false)", [TIMEOUT])
            connection.commit()
        return self._connections[login]

    def calls(self, actor: Actor, function: Function) -> Iterator[Arguments]:
        """What is changed of the arguments that work."""
        yield {}
        yield dict.fromkeys(one.name for one in function.parameters)
        for name, values in self.others(function).items():
            yield from ({name: value} for value in values)
        yield from self.rows_of_b(function)
        yield from self.of_colleagues(actor, function)
        if not actor.is_thorough:
            return
        for one in function.parameters:
            yield from ({one.name: value} for value in self.anything_of_b(one.type))
            if one.name not in SAID_OF_ONESELF:
                yield from ({one.name: value} for value in (None, *self.hostile[one.type]))
        said = [one.name for one in function.parameters if one.name in SAID_OF_ONESELF]
        yield from (dict.fromkeys(said, value) for value in self.hostile["text"] if said)

    def places(self, function: Function) -> dict[Parameter, set[tuple[str, str]]]:
        """Where a's arguments stand in a's rows."""
        arguments = self.arguments[function.name]
        return {
            one: set() if one.name in PROOFS else self.places_of_a.get((arguments[one.name] or "").strip("{}"), set())
            for one in function.parameters
        }

    def others(self, function: Function) -> dict[str, list[str]]:
        """For each argument what b has in the same columns: where a's key works, each of b's."""
        return {
            one.name: sorted({_literal(one, value) for place in places for value in self.columns_of_b.get(place, ())})
            for one, places in self.places(function).items()
        }

    def rows_of_b(self, function: Function) -> Iterator[Arguments]:
        """What belongs together, out of each row of b's: the tenant and the person, the id and its time."""
        places = self.places(function)
        for table, row in self.rows:
            if self.owner(table, row) == "b":
                found = {
                    one.name: _literal(one, row[column])
                    for one, columns in places.items()
                    for place, column in columns
                    if place == table and row[column] is not None
                }
                if len(found) > 1 and not found.keys() & PROVE_TOGETHER:
                    yield found

    def of_colleagues(self, actor: Actor, function: Function) -> Iterator[Arguments]:
        """Where a's key works, each of a colleague's."""
        if actor.person is None:
            return
        for one, places in self.places(function).items():
            values = {
                _literal(one, row[column])
                for table, row in self.rows
                for place, column in places
                if place == table and row[column] is not None and self.is_colleagues(actor, table, row)
            }
            yield from ({one.name: value} for value in sorted(values - {self.arguments[function.name][one.name]}))

    def anything_of_b(self, kind: str) -> list[str]:
        """Where an id fits, one out of each column; where a text does, a few of all kinds, and a cursor."""
        one = Parameter("", kind, None)
        if kind.startswith("uuid"):
            ids = {value for values in self.columns_of_b.values() for value in values[:1] if UUID.fullmatch(value)}
            return [_literal(one, value) for value in sorted(ids)]
        if kind.startswith("text"):
            columns = ("tenants", "id"), ("tenants", "name"), ("users", "email"), ("api_keys", "id")
            texts = [self.columns_of_b[f"limena.{table}", column][0] for table, column in columns]
            return [_literal(one, text) for text in (*texts, f"9999999999999999_{texts[-1]}")]
        return []

    # What is found.

    def findings(self, login: str, names: Iterable[str] | None = None) -> Iterator[Finding]:
        """What a log-in can do that it should not, with all functions that it may execute or with some."""
        for function in self.functions.values():
            if login in function.granted_to and (names is None or function.name in names):
                for actor in ACTORS:
                    if actor.login == login:
                        yield from self._of_what_works(actor, function)
                        for changed in self.calls(actor, function):
                            yield from self._of(self.call(actor, function, changed))
                        yield from self._of_ids(actor, function)

    def _of_what_works(self, actor: Actor, function: Function) -> Iterator[Finding]:
        """With a's arguments a function does what it is for, and refuses who lacks the permission that it names."""
        outcome = self.call(actor, function, {})
        if actor.is_thorough and outcome.sqlstate != FAILS.get(function.name):
            yield Finding("fails", outcome, f"{outcome.sqlstate}: {outcome.told}")
        held = self.permissions(actor)
        if actor.role is not None and not function.needs <= held and outcome.sqlstate != "42501":
            yield Finding("allows", outcome, f"without {', '.join(function.needs - held)}")
        for one in function.parameters:
            if CALLED_WITH.get(f"{function.name}.{one.name}", CALLED_WITH.get(one.name)) == ADMINISTRATOR:
                somebody = self.arguments["enter_session"]["p_secret_hash"]
                outcome = self.call(actor, function, {one.name: somebody})
                if outcome.sqlstate != "42501":
                    yield Finding("allows", outcome, "to who administers no platform")

    def _of(self, outcome: Outcome) -> Iterator[Finding]:
        function, actor, told = outcome.function, outcome.actor, outcome.told
        if outcome.sqlstate is not None and outcome.sqlstate not in function.raises | GENERIC | actor.is_refused_with:
            yield Finding("undocumented", outcome, f"{outcome.sqlstate}: {told[:300]}")
        if outcome.sqlstate == "42501" and any(words in told for words in LAST_LINES):
            yield Finding("changes", outcome, f"all but: {told[:300]}")
        for table, row in outcome.changes:
            owner = self.owner(table, row)
            if owner not in actor.may_change and not self._is_meant("CHANGES", function, owner):
                yield Finding("changes", outcome, f"a row of {owner} in {table}: {json.dumps(row)[:300]}")
            if self.is_colleagues(actor, table, row) and not self._is_meant_by(actor, function, table, row):
                yield Finding("changes", outcome, f"a colleague's row in {table}: {json.dumps(row)[:300]}")
        given = "\n".join(value for value in outcome.arguments.values() if value is not None)
        for value in (*self.foreign[actor.eyes], *self.hidden(actor)):
            # Not as a part of another number, of a hash or of an id.
            digit = "[0-9a-f]" if value.isdigit() else "[0-9]"
            is_told = (
                value in told and re.search(f"(?<!{digit}){re.escape(value)}(?!{digit})", told) and value not in given
            )
            if is_told and not self._is_meant("TELLS", function):
                yield Finding("tells", outcome, f"{value} in {told[:300]}")
        is_answer = outcome.sqlstate is None and told not in NOTHING
        if actor.eyes == "nobody" and is_answer and not self._is_meant("ANSWERS", function):
            yield Finding("answers", outcome, told[:300])

    def _of_ids(self, actor: Actor, function: Function) -> Iterator[Finding]:
        """Another tenant's id is as good as one that nothing has, and so is what a colleague has to themselves."""
        others = self.others(function)
        hidden = self.hidden(actor) if actor.role else ()
        colleagues = [pair for changed in self.of_colleagues(actor, function) for pair in changed.items()]
        for one in function.parameters:
            of_b = (value for value in others[one.name] if one.type == "uuid" and value not in self.places_of_a)
            of_a = (value for name, value in colleagues if name == one.name and value in hidden)
            for other in (next(of_b, None), next(of_a, None)):
                if other is not None:
                    there = self.call(actor, function, {one.name: other})
                    nowhere = self.call(actor, function, {one.name: UNKNOWN})
                    if there.seen(other) != nowhere.seen(UNKNOWN) and not self._is_meant("KNOWS", function):
                        yield Finding("knows", there, f"{there.seen(other)}, and of no id {nowhere.seen(UNKNOWN)}")

    def _is_meant(self, exceptions: str, function: Function, owner: str = "") -> bool:
        """Whether a list of sweep_cases names the function (and the owner); remembers that the line was needed."""
        listed = EXCEPTIONS[exceptions].get(function.name)
        if listed is not None:
            self.needed.add((exceptions, function.name))
        return listed is not None and (not owner or owner in listed)

    def _is_meant_by(self, actor: Actor, function: Function, table: str, row: Mapping[str, Any]) -> bool:
        """Whether the actor may change this row of a colleague's with the function."""
        if row.get("model") == OVERDUE:
            return True  # whoever comes next closes it
        listed = f"{function.name} {table}"
        permission = COLLEAGUES.get(listed)
        if permission is None or (permission and permission not in self.permissions(actor)):
            return False
        self.needed.add(("COLLEAGUES", listed))
        return True

    def permissions(self, actor: Actor) -> set[str]:
        return {
            row["permission"]
            for table, row in self.rows
            if table == "limena.role_permissions" and row["role"] == actor.role
        }


def _values(item: object) -> Iterator[str]:
    """Every value in a row, as text; binary ones in hex without what stands before it."""
    if isinstance(item, Mapping):
        for value in item.values():
            yield from _values(value)
    elif isinstance(item, list):
        for value in item:
            yield from _values(value)
    elif item is not None and not isinstance(item, bool):
        yield str(item).removeprefix("\\x")


def _literal(parameter: Parameter, value: object) -> str:
    """A value as PostgreSQL reads it."""
    text = str(value)
    if parameter.type.endswith("[]"):
        return "{" + json.dumps(text, ensure_ascii=False) + "}"
    return "\\x" + text.removeprefix("\\x") if parameter.type == "bytea" else text


DECLARATION = b"""
    select limena.open_access_as(
        tests.session_hash('platform', 'owner'), 'marker' || %s || ' reason', tests.tenant_id(%s), 600
    )
"""
BELONGING = b"""
    select c.relation::text, array_agg(distinct c.attname::text)
    from (
        select r.conrelid::regclass as relation, a.attname
        from pg_constraint as r
        inner join unnest(r.conkey) as k (place) on true
        inner join pg_attribute as a on r.conrelid = a.attrelid and k.place = a.attnum
        where r.contype = 'f'
            and r.confrelid in ('limena.users'::regclass, 'limena.api_keys'::regclass, 'limena.sessions'::regclass)
            and r.conrelid <> r.confrelid
            and a.attname <> 'tenant_id'
        union all
        select a.attrelid::regclass, a.attname
        from pg_attribute as a
        inner join pg_class as c on a.attrelid = c.oid
        where a.attname = 'actor_id'
            and c.relnamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
            and c.relkind in ('r', 'p')
            and not c.relispartition
    ) as c
    group by c.relation
"""
GRANTED = b"""
    select c.oid::regclass::text, array_agg(quote_ident(a.attname))
    from pg_class as c
    inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p', 'v')
        and not c.relispartition
        and has_column_privilege('limena_app', c.oid, a.attnum, 'select')
    group by c.oid
"""
FUNCTIONS = b"""
    select f.proname, f.parameters, f.is_variadic, f.granted_to, f.comment
    from (
        select
            p.proname,
            array(
                select jsonb_build_array(
                    p.proargnames[a.place],
                    format_type(a.type, null),
                    pg_get_function_arg_default(p.oid, a.place::integer)
                )
                from unnest(p.proargtypes::oid[]) with ordinality as a (type, place)
                order by a.place
            ) as parameters,
            p.provariadic <> 0 as is_variadic,
            array(
                select r.name from unnest(%s::text[]) as r (name) where has_function_privilege(r.name, p.oid, 'execute')
            ) as granted_to,
            coalesce(obj_description(p.oid, 'pg_proc'), '') as comment
        from pg_proc as p
        where p.pronamespace in ('limena'::regnamespace, 'limena_private'::regnamespace)
    ) as f
    where f.granted_to <> '{}'
    order by f.proname
"""
