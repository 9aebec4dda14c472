"""What mails say, and what nobody can make them say."""

import base64
import email
import email.policy
import hashlib
import hmac
import re
import unicodedata
import uuid
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limena import mail_tokens
from limena.mail import (
    KINDS,
    BadAddressError,
    MailComposer,
    OutboxMail,
    UnknownTemplateError,
    clean,
    parse_address,
    parse_sender,
)

KEY = bytes(range(32))
ID = uuid.UUID("0190a3f4-5b6c-7d8e-9fa0-b1c2d3e4f506")
COMPOSER = MailComposer(
    base_url="https://limena.example.com",
    sender=Address(display_name="Limena", username="no-reply", domain="example.com"),
    mail_key=KEY,
)
# What PostgreSQL lets someone be called (100 characters, no control characters), at its worst.
HOSTILE = [
    "<script>alert(1)</script>",
    "</p><img src=https://evil.example/x.png>",
    '" onmouseover="alert(1)',
    "&lt;b&gt; &amp; <b>",
    "$link $token ${base_url} $$",
    "\u202egnp.exe\u202c",
    "a\u2028Bcc: everyone@example.com",
    "a\u2029\u0085b",
    "\u2066evil\u2069 \u200b\ufeff\u00ad",
    "=?utf-8?b?QmNjOiBhQGIuYw==?=",
    "\U000e0041\U000e0042 tags",
    "W" * 100,
    "\U0001f469\u200d\U0001f4bb" * 33,
    "é" * 100,
    ".",
    "-- \nFrom the desk of",
]


def mail_of(template: str, **parameters: object) -> OutboxMail:
    return OutboxMail(uuid.UUID(int=1), ID, template, "someone@example.org", parameters, 1)


def reread(message: EmailMessage) -> EmailMessage:
    """As the one who gets it sees it."""
    read = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def halves(message: EmailMessage) -> tuple[str, str]:
    read = reread(message)
    assert read.get_content_type() == "multipart/alternative"
    plain, page = read.iter_parts()
    assert isinstance(plain, EmailMessage)
    assert isinstance(page, EmailMessage)
    assert (plain.get_content_type(), page.get_content_type()) == ("text/plain", "text/html")
    return unfolded(plain), unfolded(page)


def unfolded(part: EmailMessage) -> str:
    return str(part.get_content()).replace("\r\n", "\n")


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


# The token
# ---------------------------------------------------------------------------------------------------------------------


def test_the_token_is_what_its_definition_says() -> None:
    row = b"limena mail token 2\x00invitation\x00someone@example.org\x00" + ID.bytes
    mac = hmac.new(KEY, row, hashlib.sha256).digest()
    token = mail_tokens.token(KEY, ID, "invitation", "someone@example.org")
    assert token == base64.urlsafe_b64encode(mac).decode().rstrip("=")
    assert len(token) == mail_tokens.LENGTH
    assert mail_tokens.token_hash(token) == hashlib.sha256(token.encode()).digest()


def test_another_key_row_template_or_recipient_has_another_token() -> None:
    tokens = {
        mail_tokens.token(key, uuid.UUID(int=row), template, recipient)
        for key in (KEY, bytes(32))
        for row in range(100)
        for template in ("invitation", "password_reset")
        for recipient in ("a@example.org", "b@example.org")
    }
    assert len(tokens) == 800


def test_a_token_is_known_from_one_that_is_not() -> None:
    token = mail_tokens.token(KEY, ID, "invitation", "a@example.org")
    assert mail_tokens.is_token(token, KEY, ID, "invitation", "a@example.org")
    for text in (token[:-1], token + "=", "", "\ud800", mail_tokens.token(KEY, ID, "invitation", "b@example.org")):
        assert not mail_tokens.is_token(text, KEY, ID, "invitation", "a@example.org")


def test_whatever_a_client_sends_as_a_token_has_a_hash() -> None:
    assert len(mail_tokens.token_hash("\ud800 \x00")) == 32


# What every mail is
# ---------------------------------------------------------------------------------------------------------------------


def test_each_kind_of_mail_has_its_files_and_no_file_has_no_kind() -> None:
    found = {file.name for file in (files("limena") / "mail_templates").iterdir()}
    assert found == {f"{kind}.{ending}" for kind in KINDS for ending in ("txt", "html")} | {"layout.html"}


@pytest.mark.parametrize("template", KINDS)
def test_every_mail(template: str) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    message = COMPOSER.compose(mail_of(template, display_name="Ada", tenant_name="Analytical"), now=moment)
    read = reread(message)
    assert read["From"] == "Limena <no-reply@example.com>"
    assert read["To"] == "someone@example.org"
    assert "limena.example.com" in read["Subject"]
    assert read["Date"].datetime == moment
    assert read["Message-ID"] == f"<{ID}@limena.example.com>"
    assert read["Auto-Submitted"] == "auto-generated"
    assert not any(read.get_all(name) for name in ("Cc", "Bcc", "Reply-To"))

    text, source = halves(message)
    page = Page(source)
    assert "$" not in text + source, "every placeholder is filled"
    assert page.tags[0][0] == "html"
    assert not {"img", "script", "link", "iframe", "object", "form", "style"} & {tag for tag, _ in page.tags}
    attributes = {name for _, attrs in page.tags for name, _ in attrs}
    assert attributes <= {"lang", "charset", "name", "content", "style", "href", "rel"}
    assert "url(" not in source
    assert max(len(line) for line in text.splitlines()) < 120
    hrefs = [value for _, attrs in page.tags for name, value in attrs if name == "href"]
    for href in hrefs:
        assert href is not None
        assert href.startswith("https://limena.example.com/")
        assert href in text

    token = mail_tokens.token(KEY, ID, template, "someone@example.org")
    page_of_link = KINDS[template].page
    if page_of_link is None:
        assert token not in text + source
    else:
        # Behind the #: a browser sends it to no server.
        link = f"https://limena.example.com{page_of_link}#token={token}"
        assert hrefs == [link]
        assert text.count(token) == 1
        assert source.count(token) == 2
    assert token not in str(read.items()), "headers are logged on the way"


@pytest.mark.parametrize("template", KINDS)
def test_a_repeat_is_known_by_its_message_id(template: str) -> None:
    first, second = (COMPOSER.compose(mail_of(template, display_name="Ada")) for _ in range(2))
    assert first["Message-ID"] == second["Message-ID"]


def test_a_host_that_is_an_ipv6_address_makes_a_message_id() -> None:
    composer = MailComposer(base_url="http://[::1]:8000", sender=parse_sender("a@b.example"), mail_key=KEY)
    assert reread(composer.compose(mail_of("registration")))["Message-ID"] == f"<{ID}@[IPv6:::1]>"


def test_a_template_of_a_newer_version_is_not_guessed() -> None:
    for name in ("nonsense", "layout", "../layout", ""):
        with pytest.raises(UnknownTemplateError):
            COMPOSER.compose(mail_of(name))


# What somebody chose
# ---------------------------------------------------------------------------------------------------------------------


def check_reset_for(name: str) -> None:
    message = COMPOSER.compose(mail_of("password_reset", display_name=name))
    calm = COMPOSER.compose(mail_of("password_reset", display_name="Ada"))
    read = reread(message)
    assert [header for header, _ in read.items()] == [header for header, _ in reread(calm).items()]
    assert read["To"] == "someone@example.org"
    text, source = halves(message)
    page = Page(source)
    assert page.tags == Page(halves(calm)[1]).tags, "no tag and no attribute comes from a name"
    assert f"Hello {clean(name) or 'there'}," in page.text
    assert text.splitlines()[0] == f"Hello {clean(name) or 'there'},"
    assert [line for line in text.splitlines() if "#token=" in line] == [
        line for line in halves(calm)[0].splitlines() if "#token=" in line
    ]
    shown = text + page.text
    assert not [character for character in shown if character != "\n" and is_invisible(character)]


def is_invisible(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        and character not in "\u200c\u200d"
    )


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_is_shown_and_does_nothing(name: str) -> None:
    check_reset_for(name)


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=100))
def test_no_name_does_anything(name: str) -> None:
    check_reset_for(name)


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_cleaned_text_is_one_line_and_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)
    assert cleaned.splitlines() in ([], [cleaned])
    assert cleaned == cleaned.strip()
    assert clean(cleaned) == cleaned


def test_writing_that_needs_joiners_keeps_them() -> None:
    assert clean("می\u200cخواهم") == "می\u200cخواهم"
    assert clean("\U0001f469\u200d\U0001f4bb") == "\U0001f469\u200d\U0001f4bb"


@pytest.mark.parametrize("template", ["registration", "registration_known"])
def test_a_mail_to_an_unconfirmed_address_says_nothing_that_somebody_chose(template: str) -> None:
    """Else everybody could have us send their advertisement to everybody."""
    calm = COMPOSER.compose(mail_of(template))
    loud = COMPOSER.compose(
        mail_of(template, display_name="BUY at evil.example", tenant_name="NOW", link="https://e.x")
    )
    assert halves(loud) == halves(calm)
    assert loud["Subject"] == calm["Subject"]


# Addresses
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("a@b.example", "a@b.example"),
        ("first.last+tag@sub.example.com", "first.last+tag@sub.example.com"),
        ("o'neil!#$%&*/=?^_`{|}~-@example.com", "o'neil!#$%&*/=?^_`{|}~-@example.com"),
        ("root@localhost", "root@localhost"),
        ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
    ],
)
def test_addresses_that_mail_can_be_sent_to(address: str, expected: str) -> None:
    parsed = parse_address(address)
    assert f"{parsed.username}@{parsed.domain}" == expected
    message = COMPOSER.compose(OutboxMail(uuid.UUID(int=1), ID, "registration", address, {}, 1))
    assert f"\r\nTo: {expected}\r\n" in message.as_bytes(policy=email.policy.SMTPUTF8).decode()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@b.example",
        "a@",
        "a@b@c.example",
        "a@-b.example",
        "a@b..example",
        "a@b_c.example",
        "a@[127.0.0.1]",
        '"a b"@example.com',
        ".a@b.example",
        "a.@b.example",
        "a>,<victim@b.example",
        "a,victim@b.example",
        "a;b@c.example",
        "a(comment)@b.example",
        "a\r\nRCPT TO:<victim>@b.example",
        "a b@c.example",
        "a\u202eb@c.example",
        "a\u2028b@c.example",
        "a\u0085b@c.example",
        "a\u00a0b@c.example",
        "a\ud800@b.example",
        f"{'a' * 65}@b.example",
        f"a@{'b' * 64}.example",
        f"a@{'.'.join(['b' * 60] * 5)}",
        "=?utf-8?q?a?=@b.example ",
    ],
)
def test_addresses_that_nothing_is_sent_to(address: str) -> None:
    with pytest.raises(BadAddressError) as error:
        parse_address(address)
    assert str(error.value) == ""


def test_the_sender() -> None:
    assert str(parse_sender("Limena <no-reply@example.com>")) == "Limena <no-reply@example.com>"
    assert str(parse_sender("no-reply@example.com")) == "no-reply@example.com"
    assert str(parse_sender('"Limena, Inc." <a@example.com>')) == '"Limena, Inc." <a@example.com>'
    assert parse_sender("Bücher <a@example.com>").display_name == "Bücher"
    for bad in ("", "Limena", "Limena <a@example.com>\nBcc: b@example.com", "ä@example.com", "Limena <a@b@c>"):
        with pytest.raises(BadAddressError):
            parse_sender(bad)


def test_no_template_loads_anything_or_says_more_than_its_placeholders() -> None:
    for file in (files("limena") / "mail_templates").iterdir():
        source = file.read_text("utf-8")
        assert not re.search(r"https?:|src=|@import|url\(", source), file.name
