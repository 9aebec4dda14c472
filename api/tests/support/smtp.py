"""A real SMTP server on loopback (aiosmtpd) that keeps what it takes, and can be told to misbehave; and the throwaway
certificates it speaks TLS with."""

import asyncio
import datetime
import email
import email.policy
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from support.live import free_port


@dataclass(frozen=True)
class Received:
    """A message that the server said 250 to."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    was_encrypted: bool
    username: str | None

    @property
    def message(self) -> EmailMessage:
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message


@dataclass
class Mailbox:
    """What the server does and what it got. `on_rcpt` and `on_data` return its answer, or None for 250."""

    password: str | None = None
    on_mail: Callable[[str], str | None] = lambda sender: None
    on_rcpt: Callable[[str], str | None] = lambda recipient: None
    on_data: Callable[[Received, SMTP], str | None] = lambda received, server: None
    hidden_extensions: tuple[str, ...] = ()
    received: list[Received] = field(default_factory=list)
    verbs: list[str] = field(default_factory=list)
    port: int = 0

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.verbs.append(f"EHLO {hostname}")
        session.host_name = hostname
        return [line for line in responses if not any(name in line for name in self.hidden_extensions)]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.verbs.append("MAIL")
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.on_mail(address) or "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.verbs.append("RCPT")
        if (answer := self.on_rcpt(address)) is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.verbs.append("DATA")
        content = envelope.content
        assert isinstance(content, bytes)
        received = Received(
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            content=content,
            was_encrypted=_transport(server).get_extra_info("sslcontext") is not None,
            username=login.decode() if (login := getattr(session.auth_data, "login", None)) else None,
        )
        if (answer := self.on_data(received, server)) is not None:
            return answer
        self.received.append(received)
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth_data: Any
    ) -> AuthResult:
        self.verbs.append("AUTH")
        return AuthResult(success=auth_data.password.decode() == self.password, handled=False, auth_data=auth_data)


@contextmanager
def serve(
    mailbox: Mailbox, *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[Mailbox]:
    """Runs a server in a thread of its own: in the clear, with STARTTLS, or with TLS from the start."""
    mailbox.port = port or free_port()
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=mailbox.port,
        ready_timeout=30,
        server_hostname="mx.example.com",
        tls_context=starttls,
        ssl_context=tls,
        enable_SMTPUTF8=True,
        authenticator=mailbox.authenticate if mailbox.password is not None else None,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


def _transport(server: SMTP) -> asyncio.Transport:
    assert isinstance(server.transport, asyncio.Transport)
    return server.transport


def cut(server: SMTP) -> str:
    """The connection is gone, without a word."""
    _transport(server).abort()
    return "451 never read"


@dataclass(frozen=True)
class Authority:
    """`file` has its certificate, for clients."""

    file: Path
    server_context: ssl.SSLContext
    """With a certificate for 127.0.0.1 and localhost."""

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.file)


def make_authority(folder: Path, *, host: str = "localhost", address: str = "127.0.0.1") -> Authority:
    """A certificate authority and a server's certificate that it signed, both good for a day."""
    now = datetime.datetime.now(datetime.UTC)

    def certificate(
        name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey, *, is_ca: bool
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .add_extension(x509.KeyUsage(True, False, False, False, False, is_ca, is_ca, False, False), critical=True)
        )
        if not is_ca:
            names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address(address))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, SHA256())

    folder.mkdir(parents=True, exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(
        certificate("Test CA", ca_key, "Test CA", ca_key, is_ca=True).public_bytes(Encoding.PEM)
    )
    chain = folder / "server.pem"
    chain.write_bytes(
        certificate(host, key, "Test CA", ca_key, is_ca=False).public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    return Authority(folder / "ca.pem", context)


class Gate:
    """Two threads meet: one says `arrive()` and waits until the other, who waited for it, says `open()`."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._opened = threading.Event()

    def arrive(self) -> None:
        self._arrived.set()
        assert self._opened.wait(60), "nobody opened the gate"

    def wait_for_arrival(self) -> None:
        assert self._arrived.wait(60), "nobody came to the gate"

    def open(self) -> None:
        self._opened.set()
