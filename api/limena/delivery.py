"""Where mails go: to an SMTP server, or, in development, into files.

A delivery that fails says which of three things happened, because each asks for something else: this mail will never be
taken (`REFUSED`), this mail may be taken later (`DEFERRED`), or no mail goes out at present (`UNREACHABLE`).

Refuses to send anything over a connection that is not encrypted, in production; to log in over one, ever; to trust a
certificate that does not verify; and to repeat in an error what the server said, since that names addresses. It does
not try again: the outbox remembers.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import re
import secrets
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

COMMAND_SECONDS: Final = 20.0
"""How long the server may take for one answer."""
DELIVERY_SECONDS: Final = 60.0
"""How long one delivery may take in all. Well below the five minutes for which a mail is leased."""

_GOODBYE_SECONDS: Final = 2.0
_ENHANCED_CODE: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")
_DEFAULT_PORTS: Final = {"smtp": 587, "smtps": 465}


class Outcome(enum.Enum):
    REFUSED = "refused for good"
    DEFERRED = "refused for now"
    UNREACHABLE = "not sent"


class DeliveryError(Exception):
    """A mail was not delivered, as far as we know: a connection that broke late may have delivered it all the same."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(f"{outcome.value}: {reason}")
        self.outcome: Final = outcome


class Transport(Protocol):
    async def deliver(self, message: EmailMessage) -> None:
        """Hands the message on. Raises `DeliveryError`."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """What LIMENA_SMTP_URL says."""

    host: str
    port: int
    has_implicit_tls: bool
    username: str | None
    password: str | None = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> SmtpServer:
        """`smtp://` (STARTTLS, port 587) or `smtps://` (TLS from the start, port 465), `[USER:PASSWORD@]HOST[:PORT]`,
        user and password percent-encoded. Raises `ValueError`, whose text does not repeat the URL."""
        try:
            parts = urlsplit(url)
            port = parts.port
            username = unquote(parts.username, errors="strict") if parts.username else None
            password = unquote(parts.password, errors="strict") if parts.password else None
        except ValueError:
            raise ValueError("is no URL.") from None
        if parts.scheme not in _DEFAULT_PORTS:
            raise ValueError("does not start with smtp:// or smtps://.")
        if not parts.hostname or port == 0:
            raise ValueError("names no host or no port that exists.")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("has something behind the host and port.")
        if (username is None) != (password is None):
            raise ValueError("has a user without a password or a password without a user.")
        return cls(
            host=parts.hostname,
            port=port or _DEFAULT_PORTS[parts.scheme],
            has_implicit_tls=parts.scheme == "smtps",
            username=username,
            password=password,
        )


class SmtpTransport:
    """One connection a mail. `local_name`: how we introduce ourselves (EHLO). With `needs_tls` false, as in
    development, STARTTLS is used where the server offers it. `tls` is for tests; by default certificates verify against
    the system's authorities, or those that SSL_CERT_FILE names, and TLS is 1.2 at least."""

    def __init__(
        self,
        server: SmtpServer,
        *,
        local_name: str,
        needs_tls: bool = True,
        tls: ssl.SSLContext | None = None,
        command_seconds: float = COMMAND_SECONDS,
        delivery_seconds: float = DELIVERY_SECONDS,
    ) -> None:
        self._server: Final = server
        self._local_name: Final = local_name
        self._needs_tls: Final = needs_tls
        self._tls: Final = tls or ssl.create_default_context()
        self._command_seconds: Final = command_seconds
        self._delivery_seconds: Final = delivery_seconds

    async def deliver(self, message: EmailMessage) -> None:
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            local_hostname=self._local_name,
            timeout=self._command_seconds,
            use_tls=self._server.has_implicit_tls,
            start_tls=None if self._server.has_implicit_tls or not self._needs_tls else True,
            tls_context=self._tls,
        )
        transport: asyncio.BaseTransport | None = None  # of which the client lets go when it says goodbye
        try:
            async with asyncio.timeout(self._delivery_seconds):
                try:
                    await self._connect(client)
                except (aiosmtplib.SMTPException, OSError, ValueError) as error:
                    raise DeliveryError(Outcome.UNREACHABLE, _reason(error)) from None
                transport = client.transport
                await _send(client, message)
            await _say_goodbye(client)
        except TimeoutError:
            raise DeliveryError(Outcome.UNREACHABLE, "the server took too long") from None
        finally:
            _hang_up(client, transport or client.transport)

    async def _connect(self, client: aiosmtplib.SMTP) -> None:
        await client.connect()
        if self._server.username is None or self._server.password is None:
            return
        if client.get_transport_info("sslcontext") is None:
            raise DeliveryError(Outcome.UNREACHABLE, "the server offers no TLS, and a password is not sent without it")
        await client.login(self._server.username.encode(), self._server.password.encode())


async def _send(client: aiosmtplib.SMTP, message: EmailMessage) -> None:
    try:
        await client.send_message(message)
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise _refusal(error.recipients[0]) from None
    except aiosmtplib.SMTPDataError as error:
        raise _refusal(error) from None
    except aiosmtplib.SMTPNotSupported as error:
        raise DeliveryError(Outcome.REFUSED, _reason(error)) from None  # an address that needs SMTPUTF8
    except (aiosmtplib.SMTPException, OSError) as error:
        # A refused sender too: it is ours, the same in every mail.
        raise DeliveryError(Outcome.UNREACHABLE, _reason(error)) from None


async def _say_goodbye(client: aiosmtplib.SMTP) -> None:
    """The message is the server's by now: whatever goes wrong here is no failure."""
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=_GOODBYE_SECONDS)


def _hang_up(client: aiosmtplib.SMTP, transport: asyncio.BaseTransport | None) -> None:
    """At once. TLS would wait half a minute for a server that does not say goodbye; all that matters has been said."""
    client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def _refusal(error: aiosmtplib.SMTPResponseException) -> DeliveryError:
    """RFC 5321, 4.2.1: 4yz may pass, 5yz will not. But 421 ends the connection, and who must log in first or may not
    relay (5.7.x, RFC 3463) has to mend the configuration."""
    if error.code == 421:
        outcome = Outcome.UNREACHABLE
    elif error.code < 500 or error.code in (530, 535, 538) or error.message.startswith("5.7."):
        outcome = Outcome.DEFERRED
    else:
        outcome = Outcome.REFUSED
    return DeliveryError(outcome, _reason(error))


def _reason(error: BaseException) -> str:
    """What is known, without a word of the server's: the kind of the error, the SMTP codes, and for a certificate what
    is wrong with it."""
    told = [type(error).__name__]
    if isinstance(error, aiosmtplib.SMTPResponseException):
        enhanced = _ENHANCED_CODE.match(error.message)
        told.append(f"{error.code} {enhanced[0]}" if enhanced else f"{error.code}")
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            told.append(f"the certificate does not verify ({cause.verify_message})")
        elif isinstance(cause, OSError) and cause.errno is not None and not isinstance(cause, ssl.SSLError):
            told.append(os.strerror(cause.errno) if cause.errno > 0 else "the host has no address")
    return ", ".join(told)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


class FileTransport:
    """Each mail a file, `FOLDER/<id>.eml`, for its owner's eyes alone: it holds a token. A repeat replaces it."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder

    async def deliver(self, message: EmailMessage) -> None:
        name = str(message["Message-ID"]).strip("<>").split("@")[0]
        try:
            await asyncio.to_thread(self._write, name, message.as_bytes(policy=policy.SMTPUTF8))
        except OSError as error:
            raise DeliveryError(Outcome.UNREACHABLE, _reason(error)) from None

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._folder / f".{name}.{secrets.token_hex(8)}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(self._folder / f"{name}.eml")
