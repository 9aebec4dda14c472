"""`limena master-key generate`: the file of the vault's master keys, one VERSION:BASE64 a line.

The first line encrypts, the others decrypt. A new version is added at the end, where it does nothing yet; when every
process knows it, its line goes first. So an old process can read what a new one writes, all through a rolling restart.

Refuses to overwrite a file of keys: without them, nothing that they encrypted opens again.
"""

from __future__ import annotations

import base64
from pathlib import Path

from limena.config import SecretFileError, read_secret_file
from limena.private_files import write_private
from limena.vault import MAX_VERSION, MasterKeyError, MasterKeys, new_master_key


class MasterKeyFileError(Exception):
    """Why no key was written, as a sentence."""


def new_entry(version: int) -> str:
    """A new random key as a line of the file, without the line's end."""
    return f"{version}:{base64.b64encode(new_master_key()).decode('ascii')}"


def generate(out: Path) -> int:
    """Writes a file with version 1, 0600, that is not there yet. Returns the version. Raises `MasterKeyFileError`."""
    if out.exists() or out.is_symlink():
        raise MasterKeyFileError(
            f"{out} exists already, and is not overwritten: what its keys encrypted would be lost. "
            "To add another version to it: --add."
        )
    _write(out, new_entry(1) + "\n", like=None)
    return 1


def add(path: Path) -> int:
    """Adds the next version as the last line, where it encrypts nothing yet. Returns the version. Raises
    `MasterKeyFileError`."""
    try:
        text = read_secret_file(path)
        version = max(MasterKeys.parse(text).keys) + 1
    except SecretFileError as error:
        raise MasterKeyFileError(f"{path} {error}.") from None
    except MasterKeyError as error:
        raise MasterKeyFileError(f"{path} {error}") from None
    if version > MAX_VERSION:
        raise MasterKeyFileError(f"{path} has the last version that there is.")
    _write(path, text.rstrip() + "\n" + new_entry(version) + "\n", like=path)
    return version


def _write(path: Path, text: str, *, like: Path | None) -> None:
    try:
        write_private(path, text, owner=None if like is None else like.stat())
    except OSError as error:
        raise MasterKeyFileError(f"{path} cannot be written ({error.strerror}).") from None
