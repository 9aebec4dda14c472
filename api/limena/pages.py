"""The console's pages and files: static, read once at the start, served from memory by exact name.

One HTML document stands on every path of a page; its modules show what belongs there. Refuses to read a file that a
request names: what is not in the table that was made at the start is 404. Refuses inline scripts and styles, other
origins, frames, and (Trusted Types) every way in which text could become markup.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

CONSOLE_DIR: Final = Path(__file__).parent / "console"
ASSETS: Final = "/console/"
"""Where the files are. Uncounted by rate limits: they ask nobody, and half a page is worse than none."""
PAGES: Final = (
    "/",
    "/register",
    "/verify",
    "/invitation",
    "/password-reset",
    "/settings/tenant",
    "/settings/members",
    "/settings/api-keys",
    "/settings/integrations",
    "/settings/integrations/callback",
    "/settings/audit-log",
    "/settings/ai",
    "/settings/security",
    "/admin/usage",
)
CSP: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_MEDIA_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_DOCUMENT: Final = "index.html"
_METHODS: Final = "GET, HEAD, OPTIONS"


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> StaticFile:
        content = path.read_bytes()
        return cls(content, _MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def read_files(folder: Path = CONSOLE_DIR) -> Mapping[str, StaticFile]:
    """The console's files by their path below the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _MEDIA_TYPES)
    return MappingProxyType({path.relative_to(folder).as_posix(): StaticFile.read(path) for path in paths})


class Static:
    """An ASGI application: the file that the path names, or the document of all pages."""

    def __init__(self, files: Mapping[str, StaticFile]) -> None:
        self._files: Final = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._files.get(scope["path_params"].get("name", _DOCUMENT))
        if found is None:
            raise HTTPException(404)
        await _answer(found, Request(scope))(scope, receive, send)


def _answer(file: StaticFile, request: Request) -> Response:
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": _METHODS})
    if request.method not in ("GET", "HEAD"):
        raise HTTPException(405, headers={"Allow": _METHODS})
    # no-cache: kept, and asked about before each use. A new version of one module never meets an old one of another.
    headers = {"Cache-Control": "no-cache", "ETag": file.etag, "Content-Security-Policy": CSP}
    if _matches(request.headers.getlist("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _matches(shown: list[str], etag: str) -> bool:
    """RFC 9110, section 13.1.2: weak comparison."""
    tags = [tag.strip().removeprefix("W/") for header in shown for tag in header.split(",")]
    return etag in tags or "*" in tags


def page_routes() -> list[Route]:
    """One route for each page, and one for all files. No part of the API, nor of its documentation."""
    static = Static(read_files())
    return [Route(path, static, methods=None) for path in (*PAGES, f"{ASSETS}{{name:path}}")]
