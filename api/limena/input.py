"""What a client sends, read strictly: JSON bodies, query strings, path parameters.

Everything that two parsers could read differently is refused, by name where it has one: duplicate and unknown fields,
NaN, a byte order mark, other encodings, U+0000, half of a surrogate pair, numbers out of range. What is no JSON object
is 400 `invalid_request`; a field that cannot be accepted is 422 `validation_failed`; a path parameter that names
nothing is 404. The bad fields of a body are reported together, and so are those of a query; but a field that stands
twice in a JSON object is reported alone, and a query is not read when the body was refused. Refuses to read a body
whose announced length is beyond the limit, or past the limit, or whose headers say two things.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from limena.errors import FieldError, Problem
from limena.values import ArgumentType, InvalidValue, Wire

_MAX_DIGITS: Final = 20
"""Of a whole number: more than 64 bits need, and few enough that converting them costs nothing."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a body, or a parameter of a query or path."""

    type: ArgumentType
    required: bool = True
    nullable: bool = False


async def read_body(request: Request, fields: Mapping[str, Field], *, max_bytes: int) -> dict[str, Wire]:
    """The fields of a JSON object; those that were not sent are absent.

    Raises `Problem`: 415, 413, 400, 422, in this order."""
    _require_json(request)
    document = _parse(await _read(request, max_bytes))
    values: dict[str, Wire] = {}
    errors = [FieldError(name, "is not known here") for name in document if name not in fields]
    for name, field in fields.items():
        if name not in document:
            if field.required:
                errors.append(FieldError(name, "is required"))
            continue
        value = document[name]
        if value is None and field.nullable:
            values[name] = None
            continue
        try:
            values[name] = field.type.from_json(value)
        except InvalidValue as error:
            errors.append(FieldError(name, str(error)))
    if errors:
        raise Problem("validation_failed", errors=errors)
    return values


def read_query(request: Request, fields: Mapping[str, Field]) -> dict[str, Wire]:
    """The parameters of a query string; those that were not sent are absent. Raises `Problem` 422."""
    values: dict[str, Wire] = {}
    errors: list[FieldError] = []
    seen: set[str] = set()
    for pair in request.scope["query_string"].split(b"&"):
        if not pair:
            continue
        raw_name, _, raw_value = pair.partition(b"=")
        name = _unquote(raw_name).decode("utf-8", "replace")
        field = fields.get(name)
        if name in seen:
            errors.append(FieldError(name, "is given twice"))
        elif field is None:
            errors.append(FieldError(name, "is not known here"))
        else:
            try:
                values[name] = field.type.from_query(_unquote(raw_value).decode("utf-8"))
            except UnicodeDecodeError:
                errors.append(FieldError(name, "must be UTF-8"))
            except InvalidValue as error:
                errors.append(FieldError(name, str(error)))
        seen.add(name)
    errors += [FieldError(name, "is required") for name, field in fields.items() if field.required and name not in seen]
    if errors:
        raise Problem("validation_failed", errors=errors)
    return values


def read_headers(request: Request, names: Mapping[str, str], fields: Mapping[str, Field]) -> dict[str, Wire]:
    """The arguments that come in headers (`names`: argument → header); those that were not sent are absent. Raises
    `Problem` 422."""
    values: dict[str, Wire] = {}
    for name, header in names.items():
        shown = request.headers.getlist(header)
        if len(shown) > 1:
            raise Problem.of_field(header, "is given twice")
        if not shown and fields[name].required:
            raise Problem.of_field(header, "is required")
        if shown:
            try:
                values[name] = fields[name].type.from_query(shown[0])
            except InvalidValue as error:
                raise Problem.of_field(header, str(error)) from None
    return values


def read_path(request: Request, fields: Mapping[str, Field]) -> dict[str, Wire]:
    """The parameters of a path. One that cannot be read names nothing: raises `Problem` 404."""
    values: dict[str, Wire] = {}
    for name, field in fields.items():
        try:
            values[name] = field.type.from_query(request.path_params[name])
        except InvalidValue:
            raise Problem("not_found") from None
    return values


def _unquote(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def refuse_other_codings(request: Request) -> None:
    """A body that is framed by anything but its length or `chunked` ends elsewhere for another parser on the way (RFC
    9112 section 6.1). Raises `Problem` 400, and the connection is not used again."""
    codings = request.headers.getlist("transfer-encoding")
    if codings and [coding.lower() for coding in codings] != ["chunked"]:
        refused = "No transfer coding but chunked is understood."
        raise Problem("invalid_request", refused, headers={"Connection": "close"})


def _require_json(request: Request) -> None:
    types, encodings = request.headers.getlist("content-type"), request.headers.getlist("content-encoding")
    if len(types) != 1 or len(encodings) > 1:
        raise Problem("unsupported_media_type")
    media_type, _, parameters = types[0].partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    encoding = encodings[0].strip().lower() if encodings else "identity"
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8") or encoding != "identity":
        raise Problem("unsupported_media_type")


async def _read(request: Request, max_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal():
        raise Problem("invalid_request", "Content-Length is not a number.")
    if len(declared) > len(str(max_bytes)) or int(declared) > max_bytes:
        raise Problem("payload_too_large", f"A body may have at most {max_bytes} bytes.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise Problem("payload_too_large", f"A body may have at most {max_bytes} bytes.")
    return bytes(body)


def _parse(body: bytes) -> dict[str, object]:
    try:
        # Decoded here, because json.loads would guess UTF-16 and UTF-32.
        document: object = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_whole_number,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError:
        raise Problem("invalid_request", "The body is not UTF-8.") from None
    except RecursionError:
        raise Problem("invalid_request", "The body is nested too deeply.") from None
    except ValueError:
        raise Problem("invalid_request", "The body is not JSON.") from None
    if not isinstance(document, dict):
        raise Problem("invalid_request")
    return document


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document: dict[str, object] = {}
    for name, value in pairs:
        if name in document:
            raise Problem.of_field(name, "is given twice")
        document[name] = value
    return document


def _whole_number(digits: str) -> int | float:
    """A number that is too long to be one of ours becomes one that no type accepts."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float("inf")


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")
