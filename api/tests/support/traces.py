"""Looks for secrets in files and texts: raw, in hexadecimal, in base64, whatever stands around them.

A database is searched as it lies on disk, heap, indexes, WAL and log; and as a dump, because what is long is compressed
in its files.
"""

import base64
import re
import subprocess
from collections.abc import Iterator, Mapping

from support.databases import Database

_ZEROS = re.compile(rb"\0{16,}")


def spellings(secret: bytes) -> list[bytes]:
    """The byte strings of which one is there when the secret is."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for offset in range(3):  # where in a longer text it begins, base64 looks different
        encoded = base64.b64encode(bytes(offset) + secret)
        # The first characters depend on what stands before, the last ones on what stands behind.
        inner = encoded[-(-offset * 8 // 6) : (offset + len(secret)) * 8 // 6]
        found += [inner, inner.replace(b"+", b"-").replace(b"/", b"_")]
    return list(dict.fromkeys(found))


def traces(secrets: Mapping[str, str | bytes], texts: Mapping[str, bytes]) -> Iterator[str]:
    """Which secret is in which text."""
    for name, secret in secrets.items():
        raw = secret if isinstance(secret, bytes) else secret.encode()
        assert len(raw) >= 8, f"{name} is too short to be looked for"
        wanted = spellings(raw)
        for place, text in texts.items():
            if any(spelling in text for spelling in wanted):
                yield f"{name} is in {place}"


def files_of(database: Database) -> dict[str, bytes]:
    """All that the server has on disk, after a checkpoint: heap, indexes, WAL, log. Without runs of zeros, and what
    is in several files, such as the catalogs of the template databases, once."""
    with database.connect() as connection:
        connection.execute("checkpoint")
    folder = database.server.data_dir
    different: dict[bytes, str] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        different.setdefault(_ZEROS.sub(bytes(8), path.read_bytes()), str(path.relative_to(folder)))
    return {name: content for content, name in different.items()}


def dump_of(database: Database, *options: str) -> bytes:
    """Every row of the database as SQL."""
    program = database.server.bin_dir / "pg_dump"
    return subprocess.run([program, *options, database.dsn()], capture_output=True, check=True).stdout
