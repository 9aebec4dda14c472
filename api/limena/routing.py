"""How each route is served: declared as data, read top to bottom.

A `ProcedureRoute` names a procedure and where its arguments come from; `serve` is all that happens between the socket
and PostgreSQL. A `HandlerRoute` is for what is not one procedure in one context: a log-in, a liveness check. Both
carry what the OpenAPI document says about them. Refuses to hold rules: the permission written here is documentation,
the procedure and the policies behind it are what counts (a test holds the two together).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from limena.authentication import (
    access_token_of,
    authenticate,
    refresh_cookie_name,
    refresh_tokens_of,
    shows_api_key,
)
from limena.errors import Problem
from limena.input import Field, read_body, read_headers, read_path, read_query, refuse_other_codings
from limena.procedures import Catalog, CatalogError
from limena.services import Services, services_of
from limena.transaction import ApiKeyCredential, Credential, SessionCredential
from limena.values import Json, Wire, encode, refuse

_NOT_FOR_KEYS: Final = "An API key cannot do this. Log in."


@dataclass(frozen=True, slots=True)
class Made:
    """What Python adds to a call: arguments that no client may give, and fields of the answer that PostgreSQL never
    saw."""

    arguments: Mapping[str, Wire]
    reveal: Mapping[str, Json] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Fields:
    body: Mapping[str, Field]
    query: Mapping[str, Field]
    path: Mapping[str, Field]
    headers: Mapping[str, Field]


@dataclass(frozen=True, kw_only=True, eq=False)
class Endpoint(ABC):
    """One method of one path."""

    method: str
    path: str
    tag: str
    """The domain, as in db/functions."""
    summary: str
    status: int = 200
    answer: str | None
    """The name of a schema in `limena.schemas`; None: an answer without a body, or of another media type than JSON."""
    media_type: str = "application/json"
    also: Mapping[int, str] = field(default_factory=dict)
    """Other answers that are no errors: status → schema."""
    errors: tuple[str, ...] = ()
    """Codes besides those that follow from the rest of the declaration."""
    example: Mapping[str, Json] | None = None
    """A body that works."""

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    @abstractmethod
    async def serve(self, request: Request) -> Response:
        """The answer. Raises `Problem`."""


class Caller(Enum):
    """Who calls a route that has code of its own."""

    ANYONE = "anyone"
    SESSION = "session"
    """Someone with an access token, which `request.state.access_token` has, and `request.state.credential`."""
    CREDENTIAL = "session or API key"
    """Someone with either of them, which `request.state.credential` has."""
    REFRESH_COOKIE = "refresh cookie"
    """Someone with refresh tokens of ours, which `request.state.refresh_tokens` has."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HandlerRoute(Endpoint):
    """A route with code of its own. Its handler finds the fields of `body` in `request.state.body`, the parameters of
    `query` in `request.state.query`."""

    handler: Callable[[Request], Awaitable[Response]]
    description: str
    caller: Caller = Caller.ANYONE
    body: Mapping[str, Field] = field(default_factory=dict)
    query: Mapping[str, Field] = field(default_factory=dict)
    procedures: tuple[str, ...] = ()
    """Those that the handler calls, so that their signatures are read."""
    permission: str | None = None
    """What the caller needs, for the documentation."""
    path_texts: Mapping[str, str] = field(default_factory=dict)
    """What the documentation says about each parameter of the path; the handler reads them."""

    async def serve(self, request: Request) -> Response:
        services = services_of(request)
        credential = self._authenticate(request)
        try:
            if isinstance(credential, ApiKeyCredential) and self.caller is not Caller.CREDENTIAL:
                raise Problem("forbidden", _NOT_FOR_KEYS)
            services.csrf.check(request, services.keys, trusts_api_keys=credential is not None)
            if self.body:
                max_bytes = services.settings.max_body_bytes
                request.state.body = await read_body(request, self.body, max_bytes=max_bytes)
            if self.body or self.query or self.caller is Caller.CREDENTIAL:
                request.state.query = read_query(request, self.query)
        except Problem:
            # Whoever shows a credential that does not hold hears of that alone.
            if credential is not None:
                await services.database.prove(credential, request)
            raise
        return await self.handler(request)

    def _authenticate(self, request: Request) -> Credential | None:
        services = services_of(request)
        keys, issuer = services.keys, services.settings.base_url
        match self.caller:
            case Caller.ANYONE:
                return None
            case Caller.REFRESH_COOKIE if not shows_api_key(request):
                cookie = refresh_cookie_name(is_production=services.settings.environment == "production")
                request.state.refresh_tokens = refresh_tokens_of(request, keys, issuer=issuer, cookie=cookie)
                return None
        credential = authenticate(request, keys, issuer=issuer)
        if isinstance(credential, SessionCredential):
            request.state.access_token = access_token_of(request, keys, issuer=issuer)
        request.state.credential = credential
        return credential


@dataclass(frozen=True, kw_only=True, eq=False)
class ProcedureRoute(Endpoint):
    """A route that is one procedure in the context of whoever calls it. `body`, `query` and `path` name the arguments
    that come from there, without their `p_`; `made` those that `make` adds."""

    procedure: str
    permission: str | None
    """What the caller needs, for the documentation and for a path that names nothing; None: nothing but a context."""
    accepts_api_keys: bool = True
    body: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    path_arguments: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    """Arguments that come from the head of the request: argument → header."""
    may_refuse: bool = False
    """Whether the procedure may refuse with a result (`Problem.of_refusal`)."""
    waits_for_row: bool = False
    """Whether the procedure locks a row that each call of its tenant locks (`Database.call`)."""
    made: tuple[str, ...] = ()
    make: Callable[[Services, Mapping[str, Wire]], Made] = lambda _services, _arguments: Made({})
    """From the services and what the client sent."""
    finish: Callable[[Services, Response], None] = lambda _services, _response: None
    """What the answer's headers get besides: a log-out takes the cookies away."""

    @property
    def called(self) -> str:
        """The procedure that the one round trip runs."""
        return self.procedure

    async def serve(self, request: Request) -> Response:
        services = services_of(request)
        database = services.database

        # 401 without a query, and before a byte of the body is read.
        credential = authenticate(request, services.keys, issuer=services.settings.base_url)

        # CSRF, 413, 415, 400, 422, 403, 404. But whoever shows a credential that does not hold hears of that alone.
        fields = fields_of(self, await database.catalog())
        arguments: dict[str, Wire] = {}
        try:
            services.csrf.check(request, services.keys)
            if self.body:
                arguments |= await read_body(request, fields.body, max_bytes=services.settings.max_body_bytes)
            arguments |= read_query(request, fields.query)
            arguments |= read_headers(request, self.headers, fields.headers)
            if isinstance(credential, ApiKeyCredential) and not self.accepts_api_keys:
                raise Problem("forbidden", _NOT_FOR_KEYS)
            arguments |= read_path(request, fields.path)
        except Problem as problem:
            if problem.code == "not_found" and self.permission is not None:
                require = {"p_permission": encode(self.permission)}
                await database.call("require", require, credential=credential, request=request, route=self.label)
            else:
                await database.prove(credential, request)
            raise
        made = self.make(services, arguments)

        # The one round trip. 401, 422, 403, 404 and 409 are PostgreSQL's.
        content = await database.call(
            self.called,
            {f"p_{name}": value for name, value in arguments.items()} | dict(made.arguments),
            credential=credential,
            request=request,
            route=self.label,
            waits_for_row=self.waits_for_row,
        )
        if self.may_refuse and content is not None and "refused" in (result := json.loads(content)):
            raise Problem.of_refusal(result["refused"])
        if made.reveal:
            content = json.dumps(json.loads(content or b"{}") | made.reveal).encode("utf-8")
        response = await self.respond(
            content, {f"p_{name}": value for name, value in arguments.items()}, credential, request
        )
        self.finish(services, response)
        return response

    async def respond(
        self, content: bytes | None, arguments: Mapping[str, Wire], credential: Credential, request: Request
    ) -> Response:
        """The answer to a call that PostgreSQL accepted."""
        if self.answer is None:
            return Response(status_code=self.status)
        return Response(content, self.status, media_type=self.media_type)


def fields_of(route: ProcedureRoute, catalog: Catalog) -> Fields:
    """What a client may send to a route, with the types of the procedure's signature. Raises `CatalogError` when the
    two do not fit: an argument is missing, or would be there without being declared."""
    return catalog.derive((fields_of, route), lambda: _fields_of(route, catalog))


def _fields_of(route: ProcedureRoute, catalog: Catalog) -> Fields:
    procedure = catalog.procedures[route.procedure]
    places: Final = {
        "body": route.body,
        "query": route.query,
        "path": route.path_arguments,
        "headers": tuple(route.headers),
        "made": route.made,
    }
    declared = [f"p_{name}" for names in places.values() for name in names]
    if sorted(declared) != sorted(procedure.arguments):
        raise CatalogError(f"limena.{procedure.name} takes other arguments than {route.label} gives it")

    def fields(place: str) -> dict[str, Field]:
        found: dict[str, Field] = {}
        for name in places[place]:
            argument = procedure.arguments[f"p_{name}"]
            readable = argument.type.from_json if place == "body" else argument.type.from_query
            if readable is refuse:
                raise CatalogError(f"limena.{procedure.name}({argument.name}) cannot be read from a {place}")
            found[name] = Field(
                argument.type, required=argument.required, nullable=not argument.required and argument.default is None
            )
        return found

    return Fields(body=fields("body"), query=fields("query"), path=fields("path"), headers=fields("headers"))


class Resource:
    """An ASGI application: all methods of one path. HEAD is GET without the body, which the server leaves out; OPTIONS
    tells the methods. (What a browser asks before a request to another origin never gets here: see CORS in app.py.)"""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.endpoints: Final = {endpoint.method: endpoint for endpoint in endpoints}
        implied = ["HEAD", "OPTIONS"] if "GET" in self.endpoints else ["OPTIONS"]
        self._allow: Final = ", ".join(sorted([*self.endpoints, *implied]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_other_codings(Request(scope))
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = self.endpoints.get(method)
        if endpoint is None and method == "OPTIONS":
            await Response(status_code=204, headers={"Allow": self._allow})(scope, receive, send)
            return
        if endpoint is None:
            raise HTTPException(405, headers={"Allow": self._allow})
        response = await endpoint.serve(Request(scope, receive))
        await response(scope, receive, send)


def starlette_routes(endpoints: Iterable[Endpoint]) -> list[Route]:
    """One Starlette route a path."""
    paths: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, []).append(endpoint)
    return [Route(path, Resource(here), methods=None) for path, here in paths.items()]
