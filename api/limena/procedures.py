"""The catalog of procedures, read from `pg_proc`, and the statements composed from it.

A statement is composed once, with quoted identifiers, casts from a fixed table and nothing but parameters for values:

    select "limena"."create_api_key"("p_name" => $1::text, …)::text from "limena"."enter_api_key"("p_key_hash" =>
    $6::bytea, …)

The procedure stands in the target list and `enter_…` alone in FROM, so nothing of the procedure runs before the
context is sealed (design.md section 3; `test_procedures_sealed.py` proves it for every route). Refuses an argument of
a type that is not in `limena.values`, a default that is not a constant, and a procedure of which there is more than
one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from psycopg import AsyncConnection, sql

from limena.values import TYPES, ArgumentType, Wire

_T = TypeVar("_T")

_MAX_NAME_BYTES: Final = 63
"""PostgreSQL finds prepared statements by the first 63 bytes of their names."""

_READ_CATALOG: Final = """
select
    p.proname,
    p.proretset,
    obj_description(p.oid, 'pg_proc'),
    a.name,
    format_type(a.type, null),
    a.position > p.pronargs - p.pronargdefaults,
    pg_get_function_arg_default(p.oid, a.position::integer)
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
left join lateral unnest(p.proargtypes::oid[], p.proargnames[1:p.pronargs]) with ordinality as a (type, name, position)
    on true
where n.nspname = 'limena' and p.proname = any (%s)
order by p.proname, p.oid, a.position
"""


class CatalogError(Exception):
    """The database does not have the procedures that this version calls: it was not deployed, or is of another
    version."""


@dataclass(frozen=True, slots=True)
class Argument:
    name: str
    """With its `p_`."""
    type: ArgumentType
    required: bool
    default: Wire = None


@dataclass(frozen=True, slots=True)
class Procedure:
    name: str
    arguments: Mapping[str, Argument]
    returns_rows: bool
    comment: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A call, ready to be prepared under its name."""

    name: bytes
    text: bytes
    arguments: tuple[Argument, ...]
    """Of the procedure, in the order of the parameters."""
    entry: tuple[Argument, ...] = ()
    """Of `enter_…`: the parameters that follow."""

    def bind(self, arguments: Mapping[str, Wire], entry: Mapping[str, Wire]) -> Sequence[Wire]:
        """The parameters' values. What is not given gets its default; raises `KeyError` for one that has none."""
        return [_value(arguments, one) for one in self.arguments] + [_value(entry, one) for one in self.entry]


def _value(values: Mapping[str, Wire], argument: Argument) -> Wire:
    return values[argument.name] if argument.required else values.get(argument.name, argument.default)


class Catalog:
    """What the routes need to know of the database. Immutable; `read_catalog` makes it."""

    def __init__(self, procedures: Mapping[str, Procedure]) -> None:
        self.procedures: Final = procedures
        self._statements: Final[dict[tuple[str | None, str | None], Statement]] = {}
        self._derived: Final[dict[object, Any]] = {}

    def statement(self, procedure: str | None, entry: str | None) -> Statement:
        """The call of a procedure behind `entry` (`enter_session`, `enter_api_key`), or without a context (None).
        Without a procedure: `entry` alone, which proves a credential and does nothing."""
        statement = self._statements.get((procedure, entry))
        if statement is None:
            statement = _compose(
                None if procedure is None else self.procedures[procedure],
                None if entry is None else self.procedures[entry],
            )
            self._statements[procedure, entry] = statement
        return statement

    def derive(self, key: object, make: Callable[[], _T]) -> _T:
        """What `make` makes of this catalog. It is made once for each key, and forgotten with the catalog."""
        if key not in self._derived:
            self._derived[key] = make()
        made: _T = self._derived[key]
        return made


async def read_catalog(connection: AsyncConnection[tuple[object, ...]], names: Iterable[str]) -> Catalog:
    """Reads the named procedures of schema limena in one query. Raises `CatalogError` when one of them cannot be
    called."""
    wanted = sorted(set(names))
    rows = await (await connection.execute(_READ_CATALOG, [wanted])).fetchall()
    procedures: dict[str, Procedure] = {}
    arguments: dict[str, dict[str, Argument]] = {}
    for name, returns_rows, comment, argument, type_name, has_default, default in rows:
        name = str(name)
        mine = arguments.setdefault(name, {})
        procedures.setdefault(name, Procedure(name, mine, bool(returns_rows), str(comment or "")))
        if argument is None and type_name is None:
            continue
        if argument is None or argument in mine:
            raise CatalogError(f"limena.{name} has an argument without a name, or there is more than one limena.{name}")
        mine[str(argument)] = _argument(name, str(argument), str(type_name), bool(has_default), default)
    if missing := [name for name in wanted if name not in procedures]:
        raise CatalogError(f"the database has no limena.{missing[0]}: run limena deploy")
    return Catalog(procedures)


def _argument(procedure: str, name: str, type_name: str, has_default: bool, default: object) -> Argument:
    kind = TYPES.get(type_name)
    if kind is None:
        raise CatalogError(f"limena.{procedure}({name}): the API cannot read the type {type_name}")
    if not has_default:
        return Argument(name, kind, required=True)
    text = str(default)
    if re.fullmatch(r"NULL::[a-z0-9_ \[\]]+", text):
        return Argument(name, kind, required=False)
    if re.fullmatch(r"-?[0-9]+|true|false", text):
        return Argument(name, kind, required=False, default=text.encode("ascii"))
    raise CatalogError(f"limena.{procedure}({name}): the default is not a number, a truth value or null")


def _compose(procedure: Procedure | None, entry: Procedure | None) -> Statement:
    arguments = () if procedure is None else tuple(procedure.arguments.values())
    proof = () if entry is None else tuple(entry.arguments.values())
    value = sql.SQL("true") if procedure is None else _call(procedure, first=1)
    if entry is not None:
        text = sql.SQL("select {}::text from {}").format(value, _call(entry, first=len(arguments) + 1))
    elif procedure is not None and procedure.returns_rows:
        text = sql.SQL("select to_jsonb(found)::text from {} as found").format(value)
    else:
        text = sql.SQL("select {}::text").format(value)
    name = "/".join(one.name for one in (procedure, entry) if one is not None).encode("ascii")
    if len(name) > _MAX_NAME_BYTES:
        raise CatalogError(f"{name!r} is too long for a prepared statement's name")
    return Statement(name, text.as_bytes(), arguments, proof)


def _call(procedure: Procedure, *, first: int) -> sql.Composed:
    arguments = [
        sql.SQL("{} => ${}::{}").format(sql.Identifier(argument.name), position, sql.SQL(argument.type.cast))
        for position, argument in enumerate(procedure.arguments.values(), start=first)
    ]
    return sql.SQL("{}({})").format(sql.Identifier("limena", procedure.name), sql.SQL(", ").join(arguments))
