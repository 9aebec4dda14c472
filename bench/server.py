"""The API as it is served, with one route more: `GET /bench/select-1` runs `SELECT 1` through the same pool and the
same small function as every other route. What a request costs beside it is what Limena costs."""

from __future__ import annotations

import os
import sys
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from limena.app import create_app
from limena.config import Settings
from limena.http_server import HttpServer, ServerConfig, listen
from limena.pools import call
from limena.procedures import Statement
from limena.routes import ENDPOINTS
from limena.routing import HandlerRoute
from limena.services import services_of

_SELECT_1: Final = Statement(name=b"bench_select_1", text=b"select 1", arguments=())


async def _select_1(request: Request) -> Response:
    content = await call(services_of(request).database.app_pool, _SELECT_1, [])
    return Response(content, media_type="application/json")


_ROUTE: Final = HandlerRoute(
    method="GET",
    path="/bench/select-1",
    tag="platform",
    summary="SELECT 1",
    description="The least that a request to PostgreSQL costs.",
    handler=_select_1,
    answer=None,
)


def main() -> None:
    app = create_app(Settings.from_env(os.environ), endpoints=[*ENDPOINTS, _ROUTE])
    with listen("127.0.0.1", int(sys.argv[1])) as listener:
        HttpServer(ServerConfig(app, drain_seconds=0)).run(sockets=[listener])


if __name__ == "__main__":
    main()
