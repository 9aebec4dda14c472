"""Delivery over SMTP: to real servers on loopback, in the clear and with TLS, well-behaved and not; and into files."""

import asyncio
import gc
import socket
import ssl
import stat
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP

from limena.delivery import DeliveryError, FileTransport, Outcome, SmtpServer, SmtpTransport, Transport
from limena.mail import MailComposer, OutboxMail, parse_sender
from support.live import free_port
from support.smtp import Authority, Mailbox, Received, cut, make_authority, serve

PASSWORD = "p:ss/w@rd%20ü"
RECIPIENT = "someone@example.org"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


def message_to(recipient: str = RECIPIENT, name: str = "Ada") -> EmailMessage:
    composer = MailComposer(
        base_url="https://limena.example.com", sender=parse_sender("Limena <no-reply@example.com>"), mail_key=bytes(32)
    )
    return composer.compose(
        OutboxMail(uuid.UUID(int=1), uuid.uuid4(), "password_reset", recipient, {"display_name": name}, 1)
    )


def transport_to(
    mailbox: Mailbox,
    *,
    authority: Authority | None = None,
    needs_tls: bool = False,
    scheme: str = "smtp",
    host: str = "127.0.0.1",
    password: str | None = None,
    seconds: float = 20,
) -> SmtpTransport:
    user = "" if password is None else f"no-reply%40example.com:{escape(password)}@"
    return SmtpTransport(
        SmtpServer.parse(f"{scheme}://{user}{host}:{mailbox.port}"),
        local_name="limena.example.com",
        needs_tls=needs_tls,
        tls=authority.client_context() if authority else None,
        command_seconds=seconds,
    )


def escape(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def deliver(transport: Transport, message: EmailMessage | None = None) -> None:
    asyncio.run(transport.deliver(message or message_to()))


def failure(transport: Transport, message: EmailMessage | None = None) -> DeliveryError:
    """The error of a delivery that fails. What the server said, whom the mail is for and the password are not in it."""
    with pytest.raises(DeliveryError) as caught:
        deliver(transport, message)
    text = repr(caught.value)
    for told in ("someone", "example.org", "p:ss", "no-reply", "SECRET"):
        assert told not in text
    assert caught.value.__cause__ is None
    return caught.value


# In the clear and with TLS
# ---------------------------------------------------------------------------------------------------------------------


def test_a_mail_arrives() -> None:
    message = message_to(name="Zoë 名前")
    with serve(Mailbox()) as mailbox:
        deliver(transport_to(mailbox), message)
    (received,) = mailbox.received
    assert (received.sender, received.recipients) == ("no-reply@example.com", (RECIPIENT,))
    assert not received.was_encrypted
    assert received.message["Message-ID"] == message["Message-ID"]
    plain = received.message.get_body(("plain",))
    assert plain is not None
    assert "Hello Zoë 名前," in plain.get_content()
    assert mailbox.verbs == ["EHLO limena.example.com", "MAIL", "RCPT", "DATA"], "our name is no machine's"


def test_a_server_that_takes_seven_bits_gets_seven() -> None:
    with serve(Mailbox(hidden_extensions=("8BITMIME", "SMTPUTF8"))) as mailbox:
        deliver(transport_to(mailbox), message_to(name="Zoë"))
    (received,) = mailbox.received
    assert received.content.isascii()
    plain, page = received.message.get_body(("plain",)), received.message.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert "Hello Zoë," in plain.get_content()
    assert "<bdi>Zoë</bdi>" in page.get_content()


@pytest.mark.parametrize("needs_tls", [True, False])
def test_starttls_is_used_where_it_is_offered(authority: Authority, needs_tls: bool) -> None:
    with serve(Mailbox(), starttls=authority.server_context) as mailbox:
        deliver(transport_to(mailbox, authority=authority, needs_tls=needs_tls))
    (received,) = mailbox.received
    assert received.was_encrypted


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_no_connection_outlives_a_delivery(authority: Authority, scheme: str) -> None:
    """The client lets go of a TLS connection while it still waits for the server's last word, for up to 30 seconds."""
    starttls, tls = (authority.server_context, None) if scheme == "smtp" else (None, authority.server_context)

    async def work(mailbox: Mailbox) -> list[object]:
        await transport_to(mailbox, authority=authority, needs_tls=True, scheme=scheme).deliver(message_to())
        for _ in range(3):
            await asyncio.sleep(0)
        return [
            one
            for one in gc.get_objects()
            if type(one).__name__ == "_SelectorSocketTransport"
            and getattr(one, "_loop", None) is asyncio.get_running_loop()
            and getattr(one, "_sock", None) is not None
        ]

    with serve(Mailbox(), starttls=starttls, tls=tls) as mailbox:
        assert asyncio.run(work(mailbox)) == []
    assert len(mailbox.received) == 1


def test_tls_from_the_start(authority: Authority) -> None:
    with serve(Mailbox(), tls=authority.server_context) as mailbox:
        deliver(transport_to(mailbox, authority=authority, needs_tls=True, scheme="smtps"))
    (received,) = mailbox.received
    assert received.was_encrypted


def test_nothing_is_sent_without_tls_where_tls_is_needed(authority: Authority) -> None:
    """Somebody on the way who leaves STARTTLS out of the server's answer gets no mail."""
    with serve(Mailbox()) as mailbox:
        error = failure(transport_to(mailbox, authority=authority, needs_tls=True))
    assert error.outcome is Outcome.UNREACHABLE
    assert not {"MAIL", "RCPT", "DATA", "AUTH"} & set(mailbox.verbs)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("needs_tls", [True, False])
def test_a_certificate_that_does_not_verify_ends_it(authority: Authority, scheme: str, needs_tls: bool) -> None:
    """By the machine's authorities, which do not know ours; in development too."""
    starttls, tls = (authority.server_context, None) if scheme == "smtp" else (None, authority.server_context)
    with serve(Mailbox(password=PASSWORD), starttls=starttls, tls=tls) as mailbox:
        error = failure(transport_to(mailbox, needs_tls=needs_tls, scheme=scheme, password=PASSWORD))
    assert error.outcome is Outcome.UNREACHABLE
    assert "certificate" in str(error)
    assert not {"MAIL", "RCPT", "DATA", "AUTH"} & set(mailbox.verbs)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_for_another_host_ends_it(tmp_path: Path, scheme: str) -> None:
    other = make_authority(tmp_path, host="mx.example.net", address="127.0.0.2")
    starttls, tls = (other.server_context, None) if scheme == "smtp" else (None, other.server_context)
    with serve(Mailbox(), starttls=starttls, tls=tls) as mailbox:
        error = failure(transport_to(mailbox, authority=other, needs_tls=True, scheme=scheme))
    assert error.outcome is Outcome.UNREACHABLE
    assert "certificate" in str(error)
    assert "MAIL" not in mailbox.verbs


def test_old_tls_is_not_spoken(authority: Authority) -> None:
    assert SmtpTransport(SmtpServer.parse("smtps://h"), local_name="h")._tls.minimum_version >= ssl.TLSVersion.TLSv1_2


# Logging in
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_logging_in(authority: Authority, scheme: str) -> None:
    starttls, tls = (authority.server_context, None) if scheme == "smtp" else (None, authority.server_context)
    with serve(Mailbox(password=PASSWORD), starttls=starttls, tls=tls) as mailbox:
        deliver(transport_to(mailbox, authority=authority, needs_tls=True, scheme=scheme, password=PASSWORD))
    (received,) = mailbox.received
    assert received.username == "no-reply@example.com"


def test_a_wrong_password_is_nobodys_mails_fault(authority: Authority) -> None:
    with serve(Mailbox(password="another one"), starttls=authority.server_context) as mailbox:
        error = failure(transport_to(mailbox, authority=authority, needs_tls=True, password=PASSWORD))
    assert error.outcome is Outcome.UNREACHABLE
    assert "535" in str(error)
    assert "MAIL" not in mailbox.verbs


def test_a_password_is_never_sent_in_the_clear() -> None:
    """The server offers AUTH without TLS; in development too, it gets no answer to that."""
    with serve(Mailbox(password=PASSWORD)) as mailbox:
        error = failure(transport_to(mailbox, password=PASSWORD))
    assert error.outcome is Outcome.UNREACHABLE
    assert mailbox.verbs == ["EHLO limena.example.com"]


# Refusals
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("550 5.1.1 SECRET someone@example.org unknown", Outcome.REFUSED),
        ("550 someone@example.org unknown", Outcome.REFUSED),
        ("553 5.1.3 SECRET", Outcome.REFUSED),
        ("450 4.2.0 SECRET greylisted", Outcome.DEFERRED),
        ("452 4.2.2 SECRET", Outcome.DEFERRED),
        ("550 5.7.1 SECRET relaying denied", Outcome.DEFERRED),
        ("530 5.5.1 SECRET authenticate first", Outcome.DEFERRED),
        ("421 4.3.2 SECRET shutting down", Outcome.UNREACHABLE),
    ],
)
@pytest.mark.parametrize("when", ["RCPT", "DATA"])
def test_a_refusal(answer: str, outcome: Outcome, when: str) -> None:
    mailbox = (
        Mailbox(on_rcpt=lambda recipient: answer)
        if when == "RCPT"
        else Mailbox(on_data=lambda received, server: answer)
    )
    with serve(mailbox):
        error = failure(transport_to(mailbox))
    assert error.outcome is outcome
    assert answer[:3] in str(error)
    assert mailbox.received == []


def test_a_refused_sender_concerns_all_mails() -> None:
    with serve(Mailbox(on_mail=lambda sender: "553 5.7.1 SECRET no-reply may not")) as mailbox:
        assert failure(transport_to(mailbox)).outcome is Outcome.UNREACHABLE


def test_an_address_that_needs_smtputf8() -> None:
    message = message_to("jürgen@bücher.example")
    with serve(Mailbox()) as mailbox:
        deliver(transport_to(mailbox), message)
    assert mailbox.received[0].recipients == ("jürgen@xn--bcher-kva.example",)
    with serve(Mailbox(hidden_extensions=("SMTPUTF8",))) as mailbox:
        assert failure(transport_to(mailbox), message).outcome is Outcome.REFUSED
    assert mailbox.received == []


# Broken connections
# ---------------------------------------------------------------------------------------------------------------------


def test_nobody_listens() -> None:
    error = failure(transport_to(Mailbox(port=free_port())))
    assert error.outcome is Outcome.UNREACHABLE
    assert "refused" in str(error)


def test_a_connection_that_is_cut_in_the_middle() -> None:
    def cut_it(received: Received, server: SMTP) -> str:
        return cut(server)

    with serve(Mailbox(on_data=cut_it)) as mailbox:
        assert failure(transport_to(mailbox)).outcome is Outcome.UNREACHABLE
    assert mailbox.received == []


@contextmanager
def scripted(*answers: bytes | None) -> Iterator[int]:
    """A server that gives these answers, one a line that it reads, whatever that says; None hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                for answer in answers:
                    if answer is None:
                        return
                    connection.sendall(answer)
                    is_data = answer.startswith(b"354")
                    while (line := lines.readline()) and is_data and line != b".\r\n":
                        pass
                lines.read()

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


CONVERSATION = (b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 ok\r\n")


@pytest.mark.parametrize("answers", range(len(CONVERSATION)))
def test_a_server_that_hangs_up(answers: int) -> None:
    """After any of its answers but the last."""
    with scripted(*CONVERSATION[:answers], None) as port:
        assert failure(transport_to(Mailbox(port=port))).outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize("answers", range(len(CONVERSATION)))
def test_a_server_that_falls_silent(answers: int) -> None:
    with scripted(*CONVERSATION[:answers]) as port:
        assert failure(transport_to(Mailbox(port=port), seconds=0.2)).outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize("ending", [(None,), (), (b"500 SECRET\r\n",)])
def test_whatever_happens_after_a_mail_was_taken_is_no_failure(ending: tuple[bytes | None, ...]) -> None:
    """Else it would be sent again."""
    with scripted(*CONVERSATION, *ending) as port:
        deliver(transport_to(Mailbox(port=port)))


def test_a_server_that_talks_nonsense() -> None:
    for greeting in (
        b"\xff\xfe\x00\r\n",
        b"220-" + b"x" * 5000 + b"\r\n",
        b"554 5.7.1 SECRET\r\n",
        b"HTTP/1.1 400 no\r\n",
    ):
        with scripted(greeting, None) as port:
            assert failure(transport_to(Mailbox(port=port), seconds=0.5)).outcome is Outcome.UNREACHABLE


def test_a_delivery_that_never_ends_is_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = SmtpTransport(
            SmtpServer.parse(f"smtp://127.0.0.1:{silent.getsockname()[1]}"),
            local_name="limena.example.com",
            needs_tls=False,
            delivery_seconds=0.2,
        )
        assert failure(transport).outcome is Outcome.UNREACHABLE


# LIMENA_SMTP_URL
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mx.example.com", SmtpServer("mx.example.com", 587, False, None, None)),
        ("smtps://mx.example.com/", SmtpServer("mx.example.com", 465, True, None, None)),
        ("smtp://127.0.0.1:25", SmtpServer("127.0.0.1", 25, False, None, None)),
        ("smtp://[::1]:2525", SmtpServer("::1", 2525, False, None, None)),
        (f"smtps://a%40b:{escape(PASSWORD)}@h:1", SmtpServer("h", 1, True, "a@b", PASSWORD)),
    ],
)
def test_urls(url: str, expected: SmtpServer) -> None:
    assert SmtpServer.parse(url) == expected
    assert PASSWORD not in repr(SmtpServer.parse(url))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mx.example.com",
        "mx.example.com:25",
        "http://u:SECRET@h",
        "smtp://",
        "smtp://u:SECRET@",
        "smtp://u:SECRET@h:0",
        "smtp://u:SECRET@h:99999",
        "smtp://u:SECRET@h:x",
        "smtp://u:SECRET@h/path",
        "smtp://u:SECRET@h?starttls=no",
        "smtp://u:SECRET@h#x",
        "smtp://u@h",
        "smtp://:SECRET@h",
        "smtp://u:SECRET%ff@h",
        "smtp://[::1",
    ],
)
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as error:
        SmtpServer.parse(url)
    assert "SECRET" not in repr(error.value)
    assert error.value.__cause__ is None


# Files
# ---------------------------------------------------------------------------------------------------------------------


def test_a_mail_becomes_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mail"
    message = message_to(name="Zoë")
    for _ in range(2):
        deliver(FileTransport(folder), message)
    (file,) = folder.iterdir()
    assert file.name == f"{str(message['Message-ID']).split('@')[0][1:]}.eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "Hello Zoë," in file.read_text("utf-8")
    assert "/password-reset#token=" in file.read_text("utf-8"), "the link can be copied as it stands there"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")
    assert failure(FileTransport(tmp_path / "mail")).outcome is Outcome.UNREACHABLE
