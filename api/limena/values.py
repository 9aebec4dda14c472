"""The argument types of procedures: their JSON Schema, and how a value from outside becomes the text that PostgreSQL
reads.

Everything from outside is read as strictly as RFC 8259, 3339 and 9562 mean it. Refuses what PostgreSQL would take more
generously (`today`, `{a,b}`, `1e2`, a timestamp without a zone) and what it cannot hold (U+0000, half of a surrogate
pair, a number out of range). A type that is not in `TYPES` cannot be an argument of a route.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, LiteralString, TypeAlias
from uuid import UUID

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
Wire: TypeAlias = bytes | None
"""A value in PostgreSQL's text format, UTF-8; None is NULL."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
# RFC 3339 section 5.6 with at most the microseconds that PostgreSQL keeps. No leap second: few libraries hold one.
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_INTEGER: Final = re.compile(r"-?[0-9]{1,10}")
_BIG_INTEGER: Final = re.compile(r"-?[0-9]{1,16}")
_INT4_MIN: Final = -(2**31)
_INT4_MAX: Final = 2**31 - 1
_JSON_MAX: Final = 2**53 - 1  # beyond it, JSON's readers round (RFC 8259 section 6)


class InvalidValue(ValueError):
    """A value that is refused. The text completes "The field …" and never repeats the value."""


def refuse(_value: object) -> bytes:
    """Reads a value that may not come from there. `limena.routing` refuses a route that would need it."""
    raise InvalidValue("cannot be given")


@dataclass(frozen=True, slots=True)
class ArgumentType:
    cast: LiteralString
    """The type's name, as the statement casts the parameter."""
    schema: Mapping[str, Json]
    from_json: Callable[[object], bytes] = refuse
    """Reads a JSON value that is not null."""
    from_query: Callable[[str], bytes] = refuse
    """Reads the text of a query or path parameter."""


def encode(value: str | bytes | UUID | None) -> Wire:
    """A value that Python made, in PostgreSQL's text format."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode("ascii")
    return str(value).encode("utf-8")


def _text(value: object) -> bytes:
    if not isinstance(value, str):
        raise InvalidValue("must be a string")
    if "\x00" in value:
        raise InvalidValue("must not contain the character U+0000")
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidValue("must be Unicode text: it contains half of a surrogate pair") from None


def _text_array(value: object) -> bytes:
    if not isinstance(value, list):
        raise InvalidValue("must be a list of strings")
    quoted = [b'"' + _text(item).replace(b"\\", rb"\\").replace(b'"', rb"\"") + b'"' for item in value]
    return b"{" + b",".join(quoted) + b"}"


def _uuid(value: object) -> bytes:
    if not isinstance(value, str) or _UUID.fullmatch(value) is None:
        raise InvalidValue("must be a UUID, such as 3f2b8c1e-5d4a-4c6b-9e7f-0a1b2c3d4e5f")
    return value.encode("ascii")


def _timestamp(value: object) -> bytes:
    refused = InvalidValue("must be a time with zone as in RFC 3339, such as 2030-01-31T12:00:00Z")
    if not isinstance(value, str) or _TIMESTAMP.fullmatch(value) is None:
        raise refused
    try:
        moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # the 30th of February, the year 0, hour 25; year 9999 west of Greenwich
        raise refused from None
    return moment.isoformat().encode("ascii")


def _integer(value: object) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue("must be a whole number")
    if not _INT4_MIN <= value <= _INT4_MAX:
        raise InvalidValue(f"must lie between {_INT4_MIN} and {_INT4_MAX}")
    return b"%d" % value


def _integer_text(value: str) -> bytes:
    if _INTEGER.fullmatch(value) is None:
        raise InvalidValue("must be a whole number of at most 10 digits")
    return _integer(int(value))


def _big_integer(value: object) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue("must be a whole number")
    if not -_JSON_MAX <= value <= _JSON_MAX:
        raise InvalidValue(f"must lie between {-_JSON_MAX} and {_JSON_MAX}")
    return b"%d" % value


def _big_integer_text(value: str) -> bytes:
    if _BIG_INTEGER.fullmatch(value) is None:
        raise InvalidValue("must be a whole number of at most 16 digits")
    return _big_integer(int(value))


def _boolean(value: object) -> bytes:
    if not isinstance(value, bool):
        raise InvalidValue("must be true or false")
    return b"true" if value else b"false"


def _boolean_text(value: str) -> bytes:
    if value not in ("true", "false"):
        raise InvalidValue("must be true or false")
    return value.encode("ascii")


def _address(value: object) -> bytes:
    refused = InvalidValue("must be an IPv4 or IPv6 address")
    if not isinstance(value, str) or "%" in value:  # a zone (fe80::1%eth0) says something only on the host itself
        raise refused
    try:
        return str(ipaddress.ip_address(value)).encode("ascii")
    except ValueError:
        raise refused from None


TYPES: Final[Mapping[str, ArgumentType]] = {
    kind.cast: kind
    for kind in (
        ArgumentType("text", {"type": "string"}, _text, _text),
        ArgumentType("text[]", {"type": "array", "items": {"type": "string"}}, _text_array),
        ArgumentType("uuid", {"type": "string", "format": "uuid"}, _uuid, _uuid),
        ArgumentType("timestamp with time zone", {"type": "string", "format": "date-time"}, _timestamp, _timestamp),
        ArgumentType(
            "integer", {"type": "integer", "minimum": _INT4_MIN, "maximum": _INT4_MAX}, _integer, _integer_text
        ),
        ArgumentType(
            "bigint", {"type": "integer", "minimum": -_JSON_MAX, "maximum": _JSON_MAX}, _big_integer, _big_integer_text
        ),
        ArgumentType("boolean", {"type": "boolean"}, _boolean, _boolean_text),
        ArgumentType("inet", {"type": "string"}, _address, _address),
        ArgumentType("bytea", {}),  # hashes, which Python makes
    )
}
"""By the name that `format_type` gives."""
