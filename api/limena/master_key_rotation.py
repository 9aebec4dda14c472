"""`limena master-key rotate`: puts everything that is sealed under the master key that encrypts now.

Online and in batches: each is one transaction that replaces ciphertexts where they are still what they were, so a
credential is readable at every moment, one that changes meanwhile is left to its change, and a run that was killed
anywhere is completed by the next one. Its memory is that of one batch.

Refuses to drop what does not open: it stays as it is, is counted, and keeps its old version.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, LiteralString, TextIO
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from limena.pools import session_conninfo
from limena.vault import Place, Sealed, UnreadableCredential, Vault

BATCH: Final = 500
_STATEMENT_TIMEOUT_MS: Final = 60_000

_VERSIONS: Final[LiteralString] = "select key_version, credentials from limena.credential_key_versions()"
_STALE: Final[LiteralString] = """
    select tenant_id, id, field, ciphertext, salt
    from limena.stale_credentials(
        p_key_version => %s, p_limit => %s, p_after_tenant_id => %s, p_after_id => %s, p_after_field => %s
    )
"""
_RESEAL: Final[LiteralString] = """
    select limena.reseal_credentials(
        p_old_version => %s, p_new_version => %s, p_tenant_ids => %s, p_ids => %s, p_fields => %s,
        p_old => %s, p_new => %s
    )
"""
_RECORD: Final[LiteralString] = """
    select limena.record_master_key_rotation(p_key_version => %s, p_resealed => %s, p_unreadable => %s)
"""

Connection = psycopg.AsyncConnection[TupleRow]


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a run did, and what is left: `unreadable` ciphertexts that no known key opens."""

    version: int
    resealed: int
    unreadable: int


def rotate(dsn: str, vault: Vault, *, progress: Callable[[int, int], None]) -> Rotation:
    """`dsn` logs in as limena_maintenance. `progress(done, total)` is called after each batch. Raises
    `psycopg.Error`."""
    return asyncio.run(_rotate(dsn, vault, progress))


async def _rotate(dsn: str, vault: Vault, progress: Callable[[int, int], None]) -> Rotation:
    conninfo = session_conninfo(dsn, name="limena master-key rotate", statement_timeout_ms=_STATEMENT_TIMEOUT_MS)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        stale = await _stale_versions(connection, vault)
        if not stale:
            return Rotation(vault.current_version, 0, 0)
        total = sum(stale.values())
        await connection.execute(_RECORD, [vault.current_version, None, None])
        progress(0, total)
        resealed = unreadable = 0
        # Until a round changes nothing: a process that was not restarted yet still seals under an old version.
        while True:
            done, unreadable = 0, 0
            for version in await _stale_versions(connection, vault):
                after: tuple[UUID | None, UUID | None, str | None] = (None, None, None)
                while rows := await (await connection.execute(_STALE, [version, BATCH, *after])).fetchall():
                    changed, unread = await _reseal(connection, vault, version, rows)
                    done, unreadable = done + changed, unreadable + unread
                    after = (rows[-1][0], rows[-1][1], rows[-1][2])
                    progress(min(resealed + done + unreadable, total), total)
            resealed += done
            if not done:
                break
        await connection.execute(_RECORD, [vault.current_version, resealed, unreadable])
    return Rotation(vault.current_version, resealed, unreadable)


async def _stale_versions(connection: Connection, vault: Vault) -> dict[int, int]:
    rows = await (await connection.execute(_VERSIONS)).fetchall()
    return {version: count for version, count in rows if version != vault.current_version}


async def _reseal(connection: Connection, vault: Vault, version: int, rows: list[TupleRow]) -> tuple[int, int]:
    """Replaces a batch; returns how many were replaced and how many do not open."""
    keys: list[tuple[UUID, UUID, str]] = []
    old: list[bytes] = []
    new: list[bytes] = []
    for tenant_id, row_id, field, ciphertext, salt in rows:
        place = Place(tenant_id, row_id, field)
        try:
            secret = vault.open(Sealed(version, bytes(ciphertext)), place, bytes(salt or b""))
        except UnreadableCredential:
            continue
        keys.append((tenant_id, row_id, field))
        old.append(bytes(ciphertext))
        new.append(vault.seal(secret, place, bytes(salt)).ciphertext)
    columns = [[key[n] for key in keys] for n in range(3)]
    cursor = await connection.execute(_RESEAL, [version, vault.current_version, *columns, old, new])
    row = await cursor.fetchone()
    return (row[0] if row else 0), len(rows) - len(keys)


class ProgressBar:
    """One line on a terminal, drawn anew; elsewhere a line every ten seconds at most."""

    _WIDTH: Final = 30

    def __init__(self, out: TextIO | None = None) -> None:
        self._out: Final = out or sys.stderr
        self._is_terminal: Final = self._out.isatty()
        self._told_at = 0.0

    def __call__(self, done: int, total: int) -> None:
        is_done = done >= total
        if not self._is_terminal and not is_done and time.monotonic() - self._told_at < 10:
            return
        self._told_at = time.monotonic()
        filled = self._WIDTH * done // max(total, 1)
        text = f"[{'#' * filled}{'.' * (self._WIDTH - filled)}] {done:,} of {total:,}"
        end = "\n" if is_done or not self._is_terminal else ""
        print(("\r" if self._is_terminal else "") + text, end=end, file=self._out, flush=True)
