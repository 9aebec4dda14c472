"""The audit log, or each AI call, as a CSV file: PostgreSQL's own bytes, passed on as they come.

Who may not is refused first, then whoever has an export already; then there is a connection of a pool of its own (a
long export holds up no request). On it the procedure of the route puts the export on record, and that is committed
before a row leaves: whoever breaks the answer off has exported all the same, and who was refused has not. Then, in a
second transaction, the credential is proved again and the filters are set; then `COPY … TO STDOUT`. Nothing is
collected: a chunk is asked for when the one before has been sent, so that memory stays flat however slow the client is.
A client that hangs up has its query cancelled; one that takes nothing for half a minute is treated as if it had.

What goes wrong after the first chunk breaks the answer off in the middle of its chunks, so that half a file is not
taken for a whole one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import OperationalError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from limena.disconnect import while_connected
from limena.errors import Problem
from limena.pools import CallConnection
from limena.routing import ProcedureRoute
from limena.services import services_of
from limena.transaction import Credential
from limena.values import Wire

STALL_SECONDS: Final = 30.0
"""How long a client may take nothing."""
AUDIT_LOG: Final[LiteralString] = "copy (select * from limena.audit_export) to stdout (format csv, header)"
AI_USAGE: Final[LiteralString] = "copy (select * from limena.ai_usage_export) to stdout (format csv, header)"


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportRoute(ProcedureRoute):
    """A route whose procedure puts an export on record, and whose answer is the file."""

    begin: str
    """The procedure that sets the same arguments as filters of the transaction that copies. It requires the same
    permissions and writes nothing."""
    copy: LiteralString = AUDIT_LOG
    """What that transaction runs."""
    file_name: str

    @property
    def called(self) -> str:
        """Who may not is refused, and on record as such, before there is a place or a connection to take."""
        return self.begin

    async def respond(
        self, content: bytes | None, arguments: Mapping[str, Wire], credential: Credential, request: Request
    ) -> Response:
        if request.method == "HEAD":
            return Response(headers=self._headers(), media_type=self.media_type)
        stack = AsyncExitStack()

        async def begin() -> tuple[CallConnection, AsyncIterator[bytes], bytes]:
            connection = await services_of(request).database.begin_export(
                stack, self.procedure, self.begin, arguments, credential=credential, request=request
            )
            chunks = connection.copy_out(self.copy)
            # Whatever PostgreSQL refuses, it refuses here: while there is still an answer to tell it in.
            return connection, chunks, await anext(chunks, b"")

        try:
            # Where filters find little, the first bytes take their time.
            connection, chunks, first = await while_connected(request, begin())
        except BaseException as error:
            await stack.aclose()
            if isinstance(error, OperationalError):
                raise Problem("unavailable") from error
            raise
        return _Download(stack, connection, first, chunks, self._headers(), self.media_type)

    def _headers(self) -> dict[str, str]:
        return {"Content-Disposition": f'attachment; filename="{self.file_name}"'}


class _Download(Response):
    def __init__(
        self,
        stack: AsyncExitStack,
        connection: CallConnection,
        first: bytes,
        chunks: AsyncIterator[bytes],
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        super().__init__(headers=headers, media_type=f"{media_type}; charset=utf-8; header=present")
        del self.headers["content-length"]
        self._stack: Final = stack
        self._connection: Final = connection
        self._first: Final = first
        self._chunks: Final = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            copying = asyncio.create_task(self._copy(send))
            leaving = asyncio.create_task(_hang_up(receive))
            try:
                await asyncio.wait({copying, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not copying.done():
                    raise ClientDisconnect
                copying.result()
            finally:
                copying.cancel()
                leaving.cancel()
                await asyncio.gather(copying, leaving, return_exceptions=True)

    async def _copy(self, send: Send) -> None:
        await _send(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _send(send, {"type": "http.response.body", "body": self._first, "more_body": True})
        async for chunk in self._chunks:
            if chunk:
                await _send(send, {"type": "http.response.body", "body": chunk, "more_body": True})
        # Whoever sees the end may begin another one at once.
        with suppress(OperationalError):
            await self._connection.finish_copy()
        await self._stack.aclose()
        await _send(send, {"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, message: Message) -> None:
    try:
        await asyncio.wait_for(send(message), STALL_SECONDS)
    except (TimeoutError, OSError) as error:
        raise ClientDisconnect from error


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
