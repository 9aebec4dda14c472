"""What a mail says: from a row of the outbox to a message with a plain and an HTML half.

The words stand in `mail_templates/`: NAME.txt, whose first line is the subject, and NAME.html, which layout.html goes
around. A placeholder is a `$name`; what fills it is cleaned of everything invisible, and escaped in HTML.

Refuses to put anything that somebody chose into a mail to an address that nobody has confirmed yet: registration would
be a way to have us send strangers an advertisement. (The parameters of those rows are for the log.) But an invitation
names the tenant and the person, or nobody would know what it is about: no name in it becomes a link. Refuses images,
tracking and anything else that opening the mail would fetch. A token stands behind the `#` of its link, which a browser
sends to no server: it is in no access log, in no Referer, and a mail filter that opens links does not use it up.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from functools import cache
from importlib.resources import files
from string import Template
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from limena import mail_tokens

_KEPT_INVISIBLES: Final = frozenset("\u200c\u200d")
"""The (non-)joiners, without which Persian names and many emoji fall apart. All else of their kind goes, the marks that
turn the direction of writing among it."""

_ATOM: Final = r"[^\x00-\x20\x7f()<>\[\]:;@\\,.\"]+"
_LOCAL_PART: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


_NAMELESS: Final = "there"
"""“Hello there”, to someone whose name has nothing that can be seen."""


class UnknownTemplateError(Exception):
    """The row names a template that this program does not have: a newer one queued it, and will deliver it."""


class BadAddressError(Exception):
    """No mail can be sent to such an address. Says nothing of it, so that it can be logged."""


@dataclass(frozen=True, slots=True)
class OutboxMail:
    """A row that `limena.claim_mail` leased to us."""

    tenant_id: UUID
    id: UUID
    template: str
    recipient: str
    parameters: Mapping[str, object]
    attempts: int


@dataclass(frozen=True, slots=True)
class _Kind:
    page: str | None = None
    """The page that the link with the token leads to."""
    shown: tuple[str, ...] = ()
    """The parameters that appear in the mail."""
    is_linkless: bool = False
    """Whether those are kept from looking like an address that mail programs make a link of."""


KINDS: Final[Mapping[str, _Kind]] = {
    "registration": _Kind(page="/verify"),
    "registration_known": _Kind(),
    "password_reset": _Kind(page="/password-reset", shown=("display_name",)),
    "invitation": _Kind(page="/invitation", shown=("tenant_name", "inviter"), is_linkless=True),
    "ai_velocity_tripped": _Kind(shown=("display_name", "tenant_name", "limit", "until")),
    "ai_ceiling_tripped": _Kind(shown=("display_name", "tenant_name", "limit", "until")),
    "ai_warned": _Kind(shown=("display_name", "tenant_name", "limit", "until", "percent")),
}


class MailComposer:
    """Makes messages. `base_url`: scheme and host, no slash at the end. `mail_key`: see `mail_tokens.token`."""

    def __init__(self, *, base_url: str, sender: Address, mail_key: bytes) -> None:
        self._base_url: Final = base_url
        self._sender: Final = sender
        self._mail_key: Final = mail_key
        self._host: Final = urlsplit(base_url).hostname or "localhost"

    def compose(self, mail: OutboxMail, *, now: datetime | None = None) -> EmailMessage:
        """The message of this row. Made again it has the same Message-ID, by which mail programs know a repeat.

        Raises `UnknownTemplateError` and `BadAddressError`."""
        if (kind := KINDS.get(mail.template)) is None:
            raise UnknownTemplateError
        values = {name: clean(str(mail.parameters.get(name, ""))) or _NAMELESS for name in kind.shown}
        if kind.is_linkless:
            values = {name: unlink(value) for name, value in values.items()}
        values |= {"base_url": self._base_url, "site": self._host}
        if kind.page is not None:
            token = mail_tokens.token(self._mail_key, mail.id, mail.template, mail.recipient)
            values["link"] = f"{self._base_url}{kind.page}#token={token}"
        subject, text, content = _templates(mail.template)
        escaped = {name: html.escape(value) for name, value in values.items()}
        subject_line = clean(subject.substitute(values))
        page = _layout().substitute(subject=html.escape(subject_line), content=content.substitute(escaped))

        message = EmailMessage(policy=policy.SMTP)
        message["From"] = self._sender
        message["To"] = parse_address(mail.recipient)
        message["Subject"] = subject_line
        message["Date"] = now or datetime.now(UTC)
        message["Message-ID"] = f"<{mail.id}@{_message_id_host(self._host)}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notices
        message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
        _add(message.set_content, text.substitute(values), "plain")
        _add(message.add_alternative, page, "html")
        return message


def clean(text: str) -> str:
    """One line, without characters that cannot be seen or that change what others look like: controls, line ends,
    direction marks, lone surrogates, private and unassigned code points."""
    shown = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category in ("Cc", "Zl", "Zp", "Zs"):
            shown.append(" ")
        elif not category.startswith("C") or character in _KEPT_INVISIBLES:
            shown.append(character)
    return " ".join("".join(shown).split())


def unlink(name: str) -> str:
    """A name in which no mail program sees a host, a path or an address: a space stands behind each mark that those are
    made of."""
    return " ".join(re.sub(r"([./:@\\])(?=\S)", r"\1 ", unicodedata.normalize("NFKC", name)).split())


def parse_address(address: str) -> Address:
    """An address as RFC 5321 has it, without quoted local parts and address literals; a domain in another script
    becomes its ASCII form. Raises `BadAddressError`."""
    local_part, _, domain = address.rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        raise BadAddressError from None
    if (
        _LOCAL_PART.fullmatch(local_part) is None
        or len(local_part.encode("utf-8", "surrogatepass")) > 64
        or clean(local_part) != local_part
        or _DOMAIN.fullmatch(domain) is None
        or len(domain) > 253
    ):
        raise BadAddressError
    return Address(username=local_part, domain=domain)


def parse_sender(text: str) -> Address:
    """`Name <address>` or an address alone, for the From header. Raises `BadAddressError`."""
    if clean(text) != text:
        raise BadAddressError
    name, address = parseaddr(text)
    parsed = parse_address(address)
    if not parsed.username.isascii() or not name.isprintable():
        raise BadAddressError
    return Address(display_name=name, username=parsed.username, domain=parsed.domain)


def _add(add: Callable[..., None], text: str, subtype: str) -> None:
    """As it is, so that people can read a mail's source; a server that takes no 8-bit text gets it encoded. Lines are
    short enough: a name has 100 characters at most, and a line may have 998 bytes."""
    add(text, subtype=subtype, cte="7bit" if text.isascii() else "8bit")


def _message_id_host(host: str) -> str:
    return f"[IPv6:{host}]" if ":" in host else host


@cache
def _templates(name: str) -> tuple[Template, Template, Template]:
    """Subject, text and HTML of a kind of mail."""
    folder = files("limena") / "mail_templates"
    subject, text = (folder / f"{name}.txt").read_text("utf-8").split("\n\n", 1)
    return Template(subject), Template(text), Template((folder / f"{name}.html").read_text("utf-8"))


@cache
def _layout() -> Template:
    return Template((files("limena") / "mail_templates" / "layout.html").read_text("utf-8"))
