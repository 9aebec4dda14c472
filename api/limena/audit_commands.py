"""`limena audit verify` and `limena audit export`.

`verify` logs in with LIMENA_MAINTENANCE_DSN and holds each tenant's log to its seals, piece by piece, so that it can
show how far it is. `export` logs in with LIMENA_READONLY_DSN as an operator does: it declares why, which the tenant
finds in its log, and then copies. Refuses to read a row without that, and to write over a file that is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, LiteralString
from uuid import UUID

import psycopg

from limena.pools import session_conninfo

SEGMENTS_AT_ONCE: Final = 10
_TIMEOUT_MS: Final = 900_000

_TENANTS: Final[LiteralString] = "select t.tenant_id, t.seals from limena.sealed_tenants() as t"
_VERIFY: Final[LiteralString] = """
    select v.kind, v.row_id, v.detail, v.number
    from limena.verify_audit_segments(p_tenant_id => %(tenant)s, p_after => %(after)s, p_limit => %(limit)s) as v
"""
_OPEN: Final[LiteralString] = "select limena.open_access(p_reason => %(reason)s, p_tenant_id => %(tenant)s)"
_CLOSE: Final[LiteralString] = "select limena.close_access()"
# The whole log: no filter that a role, a database or a service file gave this session (see limena.audit_export).
_WHOLE: Final[LiteralString] = """
    select
        set_config('enable_sort', 'off', false), set_config('enable_bitmapscan', 'off', false),
        set_config('app.export_' || f.name, '', false)
    from unnest('{action, actor_id, entity_type, entity_id, from, to}'::text[]) as f (name)
"""
_COPY: Final[LiteralString] = "copy (select * from limena.audit_export) to stdout (format csv, header)"


class AuditCommandError(Exception):
    """The text says what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    tenant_id: UUID
    kind: str
    row_id: UUID | None
    detail: str

    def __str__(self) -> str:
        row = f", row {self.row_id}" if self.row_id else ""
        return f"tenant {self.tenant_id}: {self.kind}: {self.detail}{row}"


def verify(dsn: str, tenant_id: UUID | None, progress: Callable[[int, int], None]) -> Iterator[Finding]:
    """What does not hold, as it is found; of one tenant, or of all. `progress`: seals that were verified, of how many.
    Raises `AuditCommandError` for a tenant that never had a log."""
    with _connect(dsn) as connection:
        tenants = connection.execute(_TENANTS).fetchall()
        if tenant_id is not None:
            tenants = [(found, seals) for found, seals in tenants if found == tenant_id]
            if not tenants:
                raise AuditCommandError(f"There is no tenant {tenant_id}.")
        total, done = sum(seals for _, seals in tenants), 0
        for tenant, _ in tenants:
            after: int | None = 0
            while after is not None:
                values = {"tenant": tenant, "after": after, "limit": SEGMENTS_AT_ONCE}
                rows = connection.execute(_VERIFY, values).fetchall()
                seen = [number for kind, _, _, number in rows if kind is None]
                for kind, row_id, detail, _ in rows:
                    # Without a seal, it is the end of the log that the piece before has looked at already.
                    if kind is not None and (seen or after == 0):
                        yield Finding(tenant, kind, row_id, detail)
                done += len(seen)
                progress(min(done, total), total)
                after = max(seen) if len(seen) == SEGMENTS_AT_ONCE else None
        progress(total, total)


def export(dsn: str, tenant_id: UUID, reason: str, out: Path | None, stdout: BinaryIO) -> None:
    """A tenant's log as CSV, into a new file or to `stdout`. Raises `AuditCommandError`, `psycopg.Error`."""
    with _connect(dsn) as connection, _opened(out, stdout) as file:
        connection.execute(_OPEN, {"reason": reason, "tenant": tenant_id})
        try:
            connection.execute(_WHOLE)
            with connection.cursor().copy(_COPY) as copy:
                for row in copy:  # a message each, which ends in a line feed; RFC 4180 wants CR LF
                    file.write(row[:-1])
                    file.write(b"\r\n")
        finally:
            connection.execute(_CLOSE)


@contextmanager
def _opened(out: Path | None, stdout: BinaryIO) -> Iterator[BinaryIO]:
    if out is None:
        yield stdout
        return
    try:
        # Readable for whoever runs this alone: it holds addresses.
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise AuditCommandError(f"{out} cannot be written: {os.strerror(error.errno or 0)}.") from None
    with open(descriptor, "wb") as file:
        yield file


def _connect(dsn: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(
        session_conninfo(dsn, name="limena audit", statement_timeout_ms=_TIMEOUT_MS), autocommit=True
    )
