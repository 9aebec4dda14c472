"""`limena jwt-key`: making and rotating the files of the keys that sign tokens.

There are three: the key that signs, the one that signed before it, and the one that will sign next. Every process
accepts all three, so in a rolling restart an old process knows the new one's key, and a new process knows the old
one's; docs/decisions/0020-the-next-key-is-known-before-it-signs.md has the states.

A rotation that was interrupted anywhere is completed by running it again. Refuses to overwrite a key that nothing else
holds, to write a key that others may read, and to drop a key under which refresh tokens may still be out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limena.config import SecretFileError, read_secret_file
from limena.private_files import write_private
from limena.tokens import KeyStrengthError, SigningKey, new_private_key

REFRESH_TOKEN_SECONDS: Final = 7 * 24 * 60 * 60
"""How long a token may be out under a key that no longer signs."""


class JwtKeyError(Exception):
    """Why no key was written, as a sentence."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was done."""

    is_prepared_only: bool
    """There was no next key: now there is, and nothing else has changed."""
    signing: str
    """The id of the key that signs from now on."""


def generate(out: Path) -> str:
    """Writes a new key to a file that is not there yet, 0600, and returns its id. Raises `JwtKeyError`."""
    if out.exists() or out.is_symlink():
        raise JwtKeyError(f"{out} exists already, and is not overwritten: tokens may be out that it signed.")
    return _write(out, new_private_key())


def rotate(key: Path, *, following: Path, previous: Path, is_forced: bool = False) -> Rotation:
    """Without a next key: makes it. With one: `previous` gets what was in `key`, `key` what was in `following`, and
    `following` a new key, each file at once or not at all, in an order that loses none. Raises `JwtKeyError`."""
    if len({path.absolute() for path in (key, following, previous)}) < 3:
        raise JwtKeyError("The three keys need three files.")
    current_pem = _read(key)
    current = _kid(key, current_pem)
    if not following.exists():
        _write(following, new_private_key(), like=key)
        return Rotation(is_prepared_only=True, signing=current)
    next_pem = _read(following)
    coming = _kid(following, next_pem)
    if coming != current:  # else an earlier run got this far
        if not previous.exists() or _kid(previous, _read(previous)) != current:  # else likewise
            _check_age(previous, is_forced)
            _write(previous, current_pem, like=key)
        _write(key, next_pem, like=key)
    _write(following, new_private_key(), like=key)
    return Rotation(is_prepared_only=False, signing=coming)


def _check_age(previous: Path, is_forced: bool) -> None:
    if is_forced or not previous.exists():
        return
    age = time.time() - previous.stat().st_mtime
    if age < REFRESH_TOKEN_SECONDS:
        hours = (REFRESH_TOKEN_SECONDS - age) / 3600
        raise JwtKeyError(
            f"{previous} was written less than seven days ago, and refresh tokens that it signed are still good: "
            f"rotate again in {hours:.0f} hours, or with --force, which ends sessions that were not refreshed since."
        )


def _read(path: Path) -> str:
    try:
        return read_secret_file(path)
    except SecretFileError as error:
        raise JwtKeyError(f"{path} {error}.") from None


def _kid(path: Path, pem: str) -> str:
    try:
        return SigningKey.from_pem(pem).kid
    except KeyStrengthError as error:
        raise JwtKeyError(f"{path} {error}.") from None


def _write(path: Path, pem: str, *, like: Path | None = None) -> str:
    try:
        write_private(path, pem, owner=None if like is None else like.stat())
    except OSError as error:
        raise JwtKeyError(f"{path} cannot be written ({error.strerror}).") from None
    return SigningKey.from_pem(pem).kid
