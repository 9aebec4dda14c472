"""The worker: every mail goes out, once as far as can be, whatever breaks; and the database is kept tidy."""

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.smtp import SMTP

from limena import mail_tokens, secrets
from limena.config import ConfigError, WorkerSettings
from limena.delivery import FileTransport, SmtpServer, SmtpTransport, Transport
from limena.deploy import deploy
from limena.embedded import PostgresServer
from limena.mail import MailComposer, parse_sender
from limena.worker import Worker
from support.csrf import PageClient
from support.databases import Database
from support.live import Live
from support.smtp import Gate, Mailbox, Received, cut, make_authority, serve

ROOT = bytes(range(100, 132))
MAIL_KEY = secrets.derive(ROOT, secrets.MAIL)
BASE_URL = "https://limena.example.com"
OLD_HASH, NEW_HASH = (f"$2b$10${letter * 53}" for letter in "ab")
PATIENCE = 60.0


def eventually(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def query(database: Database, statement: str, *values: object, user: str = "postgres") -> list[tuple[Any, ...]]:
    with database.connect(user) as connection:
        return connection.execute(statement.encode(), values).fetchall()


def change(database: Database, statement: str, *values: object) -> None:
    with database.connect() as connection:
        connection.execute(statement.encode(), values)


def queue(database: Database, count: int = 1, template: str = "registration") -> list[str]:
    """Mails to 1@…, 2@…, …, in this order."""
    recipients = [f"{number}@example.org" for number in range(1, count + 1)]
    for number, recipient in enumerate(recipients):
        change(
            database,
            "insert into limena.outbox (tenant_id, id, template, recipient, due_at)"
            " select limena_private.platform_tenant_id(), gen_random_uuid(), %s, %s,"
            " clock_timestamp() - interval '1 hour' + make_interval(secs => %s)",
            template,
            recipient,
            number,
        )
    return recipients


def make_due(database: Database) -> None:
    """Time passes: leases and pauses run out."""
    change(database, "update limena.outbox set due_at = clock_timestamp() - interval '1 second'")


def outbox(database: Database) -> list[tuple[str, bool, bool, int]]:
    """recipient, delivered, abandoned, attempts"""
    return query(
        database,
        "select recipient, delivered_at is not null, abandoned_at is not null, attempts"
        " from limena.outbox order by recipient",
    )


def make_worker(database: Database, transport: Transport, **options: Any) -> Worker:
    composer = MailComposer(base_url=BASE_URL, sender=parse_sender("Limena <no-reply@example.com>"), mail_key=MAIL_KEY)
    options = {"poll_seconds": 0.05, "max_pause_seconds": 0.1, **options}
    return Worker(dsn=database.dsn("limena_maintenance"), composer=composer, transport=transport, **options)


def to(mailbox: Mailbox) -> SmtpTransport:
    server = SmtpServer.parse(f"smtp://127.0.0.1:{mailbox.port}")
    return SmtpTransport(server, local_name="limena.example.com", needs_tls=False)


@contextlib.contextmanager
def working(*workers: Worker) -> Iterator[None]:
    """Each in a thread with a loop of its own, until the block ends."""
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    ready = threading.Barrier(len(workers) + 1)

    def run(worker: Worker) -> None:
        async def work() -> None:
            stop = asyncio.Event()
            stops.append((asyncio.get_running_loop(), stop))
            ready.wait()
            await worker.run(stop)

        asyncio.run(work())

    threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    ready.wait()
    try:
        yield
    finally:
        for loop, stop in stops:
            loop.call_soon_threadsafe(stop.set)
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a worker did not stop"


# Each mail once
# ---------------------------------------------------------------------------------------------------------------------


def test_two_workers_send_each_mail_once(fresh_database: Callable[[], Database]) -> None:
    database = fresh_database()
    recipients = queue(database, 60)
    with serve(Mailbox()) as mailbox, working(make_worker(database, to(mailbox)), make_worker(database, to(mailbox))):
        eventually(lambda: len(mailbox.received) >= len(recipients))
    assert sorted(received.recipients[0] for received in mailbox.received) == sorted(recipients)
    assert len({received.message["Message-ID"] for received in mailbox.received}) == len(recipients)
    assert outbox(database) == sorted((recipient, True, False, 1) for recipient in recipients)


def test_a_mail_that_is_refused_for_now_is_sent_later(fresh_database: Callable[[], Database]) -> None:
    database = fresh_database()
    queue(database)
    answers = ["450 4.2.0 greylisted", "451 4.3.0 come back"]
    with (
        serve(Mailbox(on_rcpt=lambda recipient: answers.pop(0) if answers else None)) as mailbox,
        working(make_worker(database, to(mailbox))),
    ):
        for attempt in (1, 2):
            eventually(lambda attempt=attempt: len(answers) == 2 - attempt and is_settled(database))  # type: ignore[misc]
            assert outbox(database) == [("1@example.org", False, False, attempt)]
            assert mailbox.received == []
            make_due(database)
        eventually(lambda: outbox(database) == [("1@example.org", True, False, 3)])
    assert len(mailbox.received) == 1


def is_settled(database: Database) -> bool:
    """Not leased: a lease is five minutes, and the first pauses are shorter."""
    return not query(
        database,
        "select from limena.outbox where delivered_at is null and abandoned_at is null"
        " and due_at > clock_timestamp() + interval '4 min 30 s'",
    )


def test_a_mail_that_is_refused_for_good_is_abandoned_and_the_others_go_on(
    fresh_database: Callable[[], Database],
) -> None:
    database = fresh_database()
    queue(database, 12)
    refused = {"2@example.org", "7@example.org"}
    with (
        serve(Mailbox(on_rcpt=lambda recipient: "550 5.1.1 no" if recipient in refused else None)) as mailbox,
        working(make_worker(database, to(mailbox))),
    ):
        eventually(lambda: all(delivered or abandoned for _, delivered, abandoned, _ in outbox(database)))
    assert {recipient for recipient, _, abandoned, _ in outbox(database) if abandoned} == refused
    assert {attempts for *_, attempts in outbox(database)} == {1}
    assert mailbox.verbs.count("RCPT") == 12


def test_an_address_that_nothing_is_sent_to_is_abandoned(fresh_database: Callable[[], Database]) -> None:
    """It would tell the server of another recipient. PostgreSQL refuses it already."""
    database = fresh_database()
    queue(database)
    change(database, "alter table limena.outbox drop constraint outbox_recipient_check")
    change(database, "update limena.outbox set recipient = 'a>,<victim@example.org'")
    with serve(Mailbox()) as mailbox, working(make_worker(database, to(mailbox))):
        eventually(lambda: outbox(database)[0][2])
    assert mailbox.verbs == []


def test_a_mail_of_a_newer_version_is_left_to_newer_workers(fresh_database: Callable[[], Database]) -> None:
    database = fresh_database()
    queue(database, template="of_a_newer_version")
    with serve(Mailbox()) as mailbox, working(make_worker(database, to(mailbox))):
        eventually(lambda: outbox(database)[0][3] == 1 and is_settled(database))
    assert outbox(database) == [("1@example.org", False, False, 1)]
    assert mailbox.verbs == []


def test_twelve_failures_are_enough(fresh_database: Callable[[], Database]) -> None:
    database = fresh_database()
    queue(database)
    change(database, "update limena.outbox set attempts = 11")
    with (
        serve(Mailbox(on_rcpt=lambda recipient: "450 4.2.0 no")) as mailbox,
        working(make_worker(database, to(mailbox))),
    ):
        eventually(lambda: outbox(database) == [("1@example.org", False, True, 12)])


# What breaks
# ---------------------------------------------------------------------------------------------------------------------


def test_a_mail_server_that_is_down_and_comes_back(fresh_database: Callable[[], Database]) -> None:
    database = fresh_database()
    queue(database, 3)
    with serve(Mailbox()) as mailbox:
        pass
    with working(make_worker(database, to(mailbox))):
        eventually(lambda: all(attempts == 1 for *_, attempts in outbox(database)) and is_settled(database))
        time.sleep(1)
        assert {attempts for *_, attempts in outbox(database)} == {1}, "a failed mail waits for a minute"
        with serve(Mailbox(), port=mailbox.port) as back:
            make_due(database)
            eventually(lambda: all(delivered for _, delivered, _, _ in outbox(database)))
    assert len(back.received) == 3


def test_while_nothing_goes_out_the_pauses_grow(
    fresh_database: Callable[[], Database], caplog: pytest.LogCaptureFixture
) -> None:
    """Not all of the outbox is burnt on a server that is down: one mail, a second, one mail, two seconds …"""
    database = fresh_database()
    queue(database, 40)
    with serve(Mailbox()) as mailbox:
        pass
    with (
        caplog.at_level(logging.WARNING, "limena.worker"),
        working(make_worker(database, to(mailbox), max_pause_seconds=60)),
    ):
        eventually(lambda: sum(attempts for *_, attempts in outbox(database)) >= 7)
    assert sum(attempts for *_, attempts in outbox(database)) < 15
    pauses = [int(match[1]) for message in caplog.messages if (match := re.search(r"in about (\d+) s", message))]
    assert pauses[:3] == [1, 2, 4]


def test_a_connection_that_is_cut_in_the_middle(fresh_database: Callable[[], Database]) -> None:
    database = fresh_database()
    queue(database)
    cuts = [1]

    def cut_once(received: Received, server: SMTP) -> str | None:
        return cut(server) if cuts and cuts.pop() else None

    with serve(Mailbox(on_data=cut_once)) as mailbox, working(make_worker(database, to(mailbox))):
        eventually(lambda: not cuts and is_settled(database))
        assert outbox(database) == [("1@example.org", False, False, 1)]
        make_due(database)
        eventually(lambda: outbox(database) == [("1@example.org", True, False, 2)])
    assert len(mailbox.received) == 1


def test_a_database_that_goes_away_and_comes_back(start_server: Callable[..., PostgresServer]) -> None:
    """Also between the mail server's answer and the database's: the mail is not sent twice."""
    server = start_server()
    database = Database(server, "limena")
    deploy(database.dsn(), environment="development", echo=lambda line: None)
    queue(database)
    gate = Gate()

    def hold(received: Received, smtp: SMTP) -> None:
        if received.recipients == ("1@example.org",):
            gate.arrive()

    with serve(Mailbox(on_data=hold)) as mailbox, working(make_worker(database, to(mailbox))):
        gate.wait_for_arrival()
        server.stop()
        gate.open()
        eventually(lambda: len(mailbox.received) == 1)
        time.sleep(0.5)
        server.start()
        eventually(lambda: outbox(database) == [("1@example.org", True, False, 1)])
        server.kill()
        server.start()
        change(database, "update limena.outbox set recipient = '0@example.org', delivered_at = null")
        make_due(database)
        eventually(lambda: outbox(database) == [("0@example.org", True, False, 2)])
    assert [received.recipients[0] for received in mailbox.received] == ["1@example.org", "0@example.org"]


def test_a_database_without_limena_is_waited_for(
    empty_database: Callable[[], Database], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    database = empty_database()
    with caplog.at_level(logging.WARNING), working(make_worker(database, FileTransport(tmp_path))):
        eventually(lambda: "run limena deploy" in caplog.text)
        deploy(database.dsn(), environment="development", echo=lambda line: None)
        queue(database)
        eventually(lambda: outbox(database) == [("1@example.org", True, False, 1)])


# The process
# ---------------------------------------------------------------------------------------------------------------------


class Process:
    """`limena worker`, as an operator starts it."""

    def __init__(self, database: Database, mailbox: Mailbox, output: Path, **environment: str) -> None:
        self.output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "limena.cli", "worker"],
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("LIMENA_")},
                    "LIMENA_ENV": "development",
                    "LIMENA_MAINTENANCE_DSN": database.dsn("limena_maintenance"),
                    "LIMENA_BASE_URL": BASE_URL,
                    "LIMENA_SECRET_KEY": base64.b64encode(ROOT).decode(),
                    "LIMENA_SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}",
                    "LIMENA_MAIL_FROM": "Limena <no-reply@example.com>",
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=output.parent,
            )

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def test_a_worker_killed_between_the_two_answers_leaves_a_repeat_with_the_same_message_id(
    fresh_database: Callable[[], Database], tmp_path: Path
) -> None:
    """At least once: the mail server has said yes, and the worker dies before the database knows."""
    database = fresh_database()
    queue(database)
    with serve(Mailbox()) as mailbox, database.connect(autocommit=False) as blocker:

        def lock_the_row(received: Received, server: SMTP) -> None:
            if not mailbox.received:
                blocker.execute("select from limena.outbox for update")

        mailbox.on_data = lock_the_row
        first = Process(database, mailbox, tmp_path / "first")
        eventually(lambda: len(mailbox.received) == 1)
        # It waits for the row.
        eventually(
            lambda: bool(
                query(database, "select from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'settle_mail'")
            )
        )
        first.end(signal.SIGKILL)
        blocker.rollback()
        # What the dead worker had asked for may still be done, if its last words arrived; make sure that it was not.
        eventually(
            lambda: (
                not query(
                    database,
                    "select from pg_stat_activity where application_name = 'limena worker' and pid <> pg_backend_pid()",
                )
            )
        )
        change(database, "update limena.outbox set delivered_at = null")
        with working(make_worker(database, to(mailbox))):
            time.sleep(0.5)
            assert len(mailbox.received) == 1, "the lease has not run out yet"
            make_due(database)
            eventually(lambda: len(mailbox.received) == 2)
    first_copy, second_copy = (received.message for received in mailbox.received)
    assert first_copy["Message-ID"] == second_copy["Message-ID"]
    assert link_in(mailbox.received[0]) == link_in(mailbox.received[1])
    assert outbox(database) == [("1@example.org", True, False, 2)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_mail_in_hand(
    fresh_database: Callable[[], Database], tmp_path: Path, number: signal.Signals
) -> None:
    database = fresh_database()
    queue(database)
    gate = Gate()
    with serve(Mailbox(on_data=lambda received, server: gate.arrive())) as mailbox:
        running = Process(database, mailbox, tmp_path / "output")
        gate.wait_for_arrival()
        running.process.send_signal(number)
        time.sleep(0.5)
        assert running.process.poll() is None
        gate.open()
        assert running.process.wait(PATIENCE) == 0
    assert outbox(database) == [("1@example.org", True, False, 1)]
    assert len(mailbox.received) == 1


def test_an_idle_worker_ends_at_once(fresh_database: Callable[[], Database], tmp_path: Path) -> None:
    database = fresh_database()
    with serve(Mailbox()) as mailbox:
        running = Process(database, mailbox, tmp_path / "output")
        eventually(lambda: "started" in running.output.read_text())
        begun = time.monotonic()
        assert running.end(signal.SIGTERM) == 0
        assert time.monotonic() - begun < 30


def test_in_production_over_starttls_with_a_password(fresh_database: Callable[[], Database], tmp_path: Path) -> None:
    """SSL_CERT_FILE names an authority of one's own, as for a relay inside a company."""
    database = fresh_database()
    queue(database)
    authority = make_authority(tmp_path / "authority")
    with serve(Mailbox(password="a password, long"), starttls=authority.server_context) as mailbox:
        running = Process(
            database,
            mailbox,
            tmp_path / "output",
            LIMENA_ENV="production",
            LIMENA_SMTP_URL=f"smtp://no-reply:a%20password%2C%20long@localhost:{mailbox.port}",
            SSL_CERT_FILE=str(authority.file),
        )
        eventually(lambda: len(mailbox.received) == 1)
        assert running.end(signal.SIGTERM) == 0
    assert mailbox.received[0].was_encrypted
    assert mailbox.received[0].username == "no-reply"
    assert "a password" not in running.output.read_text()


def test_what_it_misses_is_told_at_once(fresh_database: Callable[[], Database], tmp_path: Path) -> None:
    missing = {"LIMENA_MAINTENANCE_DSN", "LIMENA_BASE_URL", "LIMENA_SECRET_KEY", "LIMENA_SMTP_URL", "LIMENA_MAIL_FROM"}
    running = Process(
        fresh_database(), Mailbox(), tmp_path / "output", LIMENA_ENV="production", **dict.fromkeys(missing, "")
    )
    assert running.process.wait(PATIENCE) == 1
    told = running.output.read_text()
    assert {name for name in missing if f"limena: {name} is " in told} == missing


# Tokens
# ---------------------------------------------------------------------------------------------------------------------


def link_in(received: Received) -> str:
    plain = received.message.get_body(("plain",))
    assert plain is not None
    (link,) = [line for line in plain.get_content().splitlines() if line.startswith("https://")]
    return str(link)


def ask_for_a_reset(database: Database, address: str) -> str:
    """As the API does; returns the token, which only the mail should have."""
    outbox_id = uuid.uuid4()
    token = mail_tokens.token(MAIL_KEY, outbox_id, "password_reset", address)
    query(
        database,
        "select limena.request_password_reset(p_email => %s, p_outbox_id => %s, p_token_hash => %s)",
        address,
        outbox_id,
        mail_tokens.token_hash(token),
        user="limena_auth",
    )
    return token


def register(database: Database, address: str, name: str) -> None:
    query(
        database,
        "select limena.register_user(p_email => %s, p_password_hash => %s, p_display_name => %s, p_tenant_name => 'T')",
        address,
        OLD_HASH,
        name,
        user="limena_auth",
    )


def test_the_token_in_the_mail_opens_the_account_once(fresh_database: Callable[[], Database]) -> None:
    database = fresh_database()
    register(database, "ada@example.org", "<b>Ada</b> \u202e" + "x" * 87)
    ask_for_a_reset(database, "ada@example.org")
    with serve(Mailbox()) as mailbox, working(make_worker(database, to(mailbox))):
        eventually(lambda: len(mailbox.received) == 1)
    link = link_in(mailbox.received[0])
    assert link.startswith(f"{BASE_URL}/password-reset#token=")
    page = mailbox.received[0].message.get_body(("html",))
    assert page is not None
    assert f"<bdi>&lt;b&gt;Ada&lt;/b&gt; {'x' * 87}</bdi>" in page.get_content()

    token_hash = hashlib.sha256(link.partition("#token=")[2].encode()).digest()
    statement = "select limena.reset_password(p_token_hash => %s, p_new_hash => %s)"
    query(database, statement, token_hash, NEW_HASH, user="limena_auth")
    assert query(database, "select password_hash from limena.users where email = 'ada@example.org'") == [(NEW_HASH,)]
    with pytest.raises(psycopg.errors.NoDataFound):
        query(database, statement, token_hash, OLD_HASH, user="limena_auth")


def test_a_registration_is_completed_with_the_token_in_the_mail_and_a_known_address_gets_none(
    fresh_database: Callable[[], Database],
) -> None:
    database = fresh_database()
    register(database, "ada@example.org", "Ada")
    for address in ("ada@example.org", "new@example.org"):
        outbox_id = uuid.uuid4()
        query(
            database,
            "select limena.request_registration(p_email => %s, p_password_hash => %s, p_display_name => 'Eve',"
            " p_tenant_name => 'Eve Ltd', p_outbox_id => %s, p_token_hash => %s)",
            address,
            OLD_HASH,
            outbox_id,
            mail_tokens.token_hash(mail_tokens.token(MAIL_KEY, outbox_id, "registration", address)),
            user="limena_auth",
        )
    with serve(Mailbox()) as mailbox, working(make_worker(database, to(mailbox))):
        eventually(lambda: len(mailbox.received) == 2)
    mails = {received.recipients[0]: received for received in mailbox.received}
    assert b"token=" not in mails["ada@example.org"].content
    assert "You have an account" in mails["ada@example.org"].message["Subject"]
    for received in mails.values():
        assert b"Eve" not in received.content, "whoever registers an address may be a stranger to it"
    token = link_in(mails["new@example.org"]).partition(f"{BASE_URL}/verify#token=")[2]
    ((made,),) = query(
        database,
        "select limena.verify_registration(p_token_hash => %s, p_new_hash => %s)",
        hashlib.sha256(token.encode()).digest(),
        "$2b$04$" + "/" * 53,
        user="limena_auth",
    )
    assert made["user"]["email"] == "new@example.org"


def test_no_token_and_no_address_is_anywhere_but_in_the_mail(
    fresh_database: Callable[[], Database], tmp_path: Path
) -> None:
    """Not in a table, the audit log among them, and not in what the worker says while all sorts of things go wrong."""
    database = fresh_database()
    register(database, "marked-address@example.org", "Marked Name")
    tokens = [ask_for_a_reset(database, "marked-address@example.org") for _ in range(5)]
    answers = [
        "550 5.1.1 <marked-address@example.org> is a marked-answer",
        "450 4.0.0 marked-answer",
        "421 marked-answer",
    ]

    def answer(received: Received, server: SMTP) -> str | None:
        return answers.pop() if answers else None

    with serve(Mailbox(on_data=answer)) as mailbox:
        running = Process(database, mailbox, tmp_path / "output")
        eventually(lambda: not answers and is_settled(database))
        make_due(database)
        eventually(lambda: all(delivered or abandoned for _, delivered, abandoned, _ in outbox(database)))
        assert running.end(signal.SIGTERM) == 0
    sent = b"".join(received.content for received in mailbox.received)
    assert sum(token.encode() in sent for token in tokens) == 4, "all but the one that was refused for good"

    said = running.output.read_text()
    for line in said.splitlines():
        json.loads(line)
    assert said.count("delivered") >= 4
    tables = query(
        database,
        "select c.oid::regclass::text from pg_class as c"
        " where c.relkind = 'r' and c.relnamespace::regnamespace::text like 'limena%%'",
    )
    rows = {name: str(query(database, f"select * from {name}")) for (name,) in tables}
    assert "marked-address" in rows["limena.outbox"], "the rows are those that the worker saw"
    for token in tokens:
        mac = base64.urlsafe_b64decode(token + "=")
        for form in (token, mac.hex(), base64.b64encode(mac).decode(), str(mac)):
            assert form not in said
            assert [name for name, text in rows.items() if form in text] == []
    for marked in ("marked-address", "marked-answer", "Marked Name", "example.org"):
        assert marked not in said


# Maintenance
# ---------------------------------------------------------------------------------------------------------------------


def make_month_of_ai(database: Database, month: int) -> None:
    """One of 2020, with a call."""
    name = f"limena.ai_usage_logs_2020_0{month}"
    first, end = f"2020-0{month}-01 00:00Z", f"2020-0{month + 1}-01 00:00Z"
    change(database, f"create table {name} (like limena.ai_usage_logs including all)")
    change(
        database,
        f"alter table limena.ai_usage_logs attach partition {name} for values from ('{first}') to ('{end}')",
    )
    change(database, f"alter table {name} owner to limena_owner")
    change(
        database,
        "insert into limena.ai_usage_logs"
        " (tenant_id, occurred_at, id, actor_type, actor_id, model, outcome, recorded_at)"
        " values (gen_random_uuid(), %s, gen_random_uuid(), 'user', gen_random_uuid(), 'm', 'expired', now())",
        first,
    )


def test_partitions_are_made_and_what_is_over_is_pruned_whoever_does_it(
    fresh_database: Callable[[], Database], tmp_path: Path
) -> None:
    database = fresh_database()
    register(database, "ada@example.org", "Ada")
    ((last,),) = query(
        database, "select max(c.oid::regclass::text) from pg_class as c where relname ~ '^audit_logs_[0-9_]+$'"
    )
    change(database, f"drop table {last}")
    change(
        database,
        "insert into limena.log_in_failures (subject, failures, last_failed_at, blocked_until)"
        " select sha256(n::text::bytea), 1, clock_timestamp() - interval '2 hours', now()"
        " from generate_series(1, 2500) as n",
    )
    change(
        database,
        "insert into limena.log_in_failures (subject, failures, last_failed_at, blocked_until)"
        " values (sha256('recent'), 1, clock_timestamp(), now())",
    )
    change(
        database,
        "insert into limena.password_resets (user_id, token_hash, expires_at)"
        " select id, sha256(n::text::bytea), now() - interval '31 days'"
        " from limena.users, generate_series(1, 1500) as n",
    )
    for month in range(1, 6):
        make_month_of_ai(database, month)
    with database.connect() as reader, reader.transaction():
        reader.execute("lock table limena.ai_usage_logs in access share mode")
        dropped = query(database, "select limena.drop_ai_usage(3)", user="limena_maintenance")
        assert dropped == [(None,)], "whoever reads is not waited for"
    options = {"maintenance_seconds": 0.2, "ai_usage_months": 3}
    workers = [make_worker(database, FileTransport(tmp_path), **options) for _ in range(3)]
    with working(*workers):
        eventually(lambda: query(database, "select count(*) from limena.password_resets") == [(0,)])
        eventually(lambda: query(database, "select count(*) from limena.log_in_failures") == [(1,)])
        eventually(lambda: query(database, "select to_regclass(%s) is not null", last) == [(True,)])
        eventually(lambda: query(database, "select to_regclass('limena.ai_usage_logs_2020_01') is null") == [(True,)])
    told = "select details from limena.audit_logs where action = 'ai_usage.removed'"
    assert query(database, told) == [({"month": "2020-01", "kept_months": 3},)]

    # Two are over. A round takes one, and erases a tenant after that.
    for month in (6, 7):
        make_month_of_ai(database, month)
    change(database, "select tests.make_tenants()")
    change(
        database,
        "update limena.tenants set state = 'deleting', deletion_due_at = now() - interval '1 day'"
        " where id = tests.tenant_id('a')",
    )
    with working(make_worker(database, FileTransport(tmp_path), ai_usage_months=3)):
        erased = "select count(*) from limena.audit_logs where action = 'tenant.erased'"
        eventually(lambda: query(database, erased) == [(1,)])
    months = query(database, f"{told} order by seq")
    assert [details["month"] for (details,) in months] == ["2020-01", "2020-02"]


def test_the_log_is_sealed_and_what_is_past_its_time_is_removed(
    fresh_database: Callable[[], Database], tmp_path: Path
) -> None:
    database = fresh_database()
    change(
        database,
        """
        do $$
        declare
            v_month timestamptz := date_trunc('month', now() - interval '800 days', 'UTC');
        begin
            create table limena.audit_logs_old (like limena.audit_logs including all);
            alter table limena.audit_logs_old owner to limena_owner;
            execute format(
                'alter table limena.audit_logs attach partition limena.audit_logs_old for values from (%%L) to (%%L)',
                v_month, v_month + interval '1 month'
            );
            insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
            values (
                gen_random_uuid(), v_month, nextval('limena.audit_logs_seq_seq'), gen_random_uuid(), 'access.denied',
                'system'
            );
        end $$
        """,
    )
    seals = "select count(*) from limena.audit_seals where removed_at is {} null"
    options = {"sealing_seconds": 0.05, "maintenance_seconds": 0.1}
    with working(*(make_worker(database, FileTransport(tmp_path), **options) for _ in range(2))):
        eventually(lambda: query(database, seals.format("not")) == [(1,)])
    assert query(database, "select count(*) from limena.audit_logs where action = 'access.denied'") == [(0,)]
    assert query(database, "select count(*) from limena.audit_logs where action = 'audit_log.removed'") == [(1,)]
    assert query(database, seals.format(""))[0][0] >= 1, "the platform's own"


def test_a_tenant_whose_quota_cannot_be_brought_up_to_date_holds_up_no_other(
    fresh_database: Callable[[], Database], tmp_path: Path
) -> None:
    database = fresh_database()
    change(database, "select tests.make_tenants()")
    change(
        database,
        "insert into limena.ai_quotas (tenant_id, as_of, reserved_tokens, expires_at)"
        " select tests.tenant_id(v.name), now(), v.tokens, now() - v.overdue"
        " from (values ('a', 0, interval '2 minutes'), ('b', 5, interval '1 minute')) as v (name, tokens, overdue)",
    )
    change(
        database,
        "insert into limena.ai_reservations"
        " (tenant_id, id, actor_type, actor_id, model, estimated_tokens, created_at, expires_at)"
        " select tests.tenant_id(v.name), gen_random_uuid(), 'user', tests.user_id(v.name, 'owner'), 'm', 5,"
        " now() - interval '11 minutes', now() - interval '1 minute' from (values ('a'), ('b')) as v (name)",
    )
    live = "select count(*) from limena.ai_reservations where state = 'live' and tenant_id = tests.tenant_id(%s)"
    with working(make_worker(database, FileTransport(tmp_path), expiry_seconds=0.05)):
        eventually(lambda: query(database, live, "b") == [(0,)])
    assert query(database, live, "a") == [(1,)], "its count would be below zero, and is none"


def test_the_maintenance_role_can_do_no_more_than_that(database: Database) -> None:
    """A worker that is taken over reads no table. (What it may call is in db/tests.)"""
    for statement in ("select * from limena.outbox", "select * from limena.users", "delete from limena.audit_logs"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            query(database, statement, user="limena_maintenance")


# Settings
# ---------------------------------------------------------------------------------------------------------------------


def test_development_needs_no_mail_server() -> None:
    environment = {
        "LIMENA_ENV": "development",
        "LIMENA_MAINTENANCE_DSN": "host=/run/postgresql user=limena_maintenance",
        "LIMENA_BASE_URL": "http://127.0.0.1:8000",
        "LIMENA_SECRET_KEY": base64.b64encode(ROOT).decode(),
    }
    settings = WorkerSettings.from_env(environment)
    assert settings.smtp is None
    assert str(settings.mail_from) == "Limena <limena@localhost>"
    assert ROOT.hex() not in repr(settings)
    assert repr(ROOT) not in repr(settings)


def worker_problems(**changes: str) -> str:
    environment = {
        "LIMENA_MAINTENANCE_DSN": "host=/run/postgresql user=limena_maintenance",
        "LIMENA_BASE_URL": BASE_URL,
        "LIMENA_SECRET_KEY": base64.b64encode(ROOT).decode(),
        "LIMENA_SMTP_URL": "smtps://u:SECRET@mx.example.com",
        "LIMENA_MAIL_FROM": "no-reply@example.com",
    }
    WorkerSettings.from_env(environment)
    with pytest.raises(ConfigError) as error:
        WorkerSettings.from_env(environment | changes)
    assert "SECRET" not in str(error.value).replace("LIMENA_SECRET_KEY", "")
    return str(error.value)


def test_what_production_refuses() -> None:
    assert worker_problems(LIMENA_SMTP_URL="").startswith("LIMENA_SMTP_URL is not set: ")
    assert worker_problems(LIMENA_MAIL_FROM="").startswith("LIMENA_MAIL_FROM is not set: ")
    assert worker_problems(LIMENA_SMTP_URL="smtp://u:SECRET@h/?starttls=no").startswith("LIMENA_SMTP_URL has something")
    assert worker_problems(LIMENA_MAIL_FROM="Limena <a@b>\nBcc: c@d").startswith("LIMENA_MAIL_FROM is 'Limena <a@b>\\n")
    assert worker_problems(LIMENA_SECRET_KEY="c2hvcnQ=").startswith("LIMENA_SECRET_KEY is ")
    assert worker_problems(LIMENA_AI_USAGE_MONTHS="2").startswith("LIMENA_AI_USAGE_MONTHS is '2'")
    assert worker_problems(LIMENA_MAINTENANCE_DSN="").startswith("LIMENA_MAINTENANCE_DSN is not set: ")


def test_the_mail_servers_url_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "smtp-url"
    file.write_text("smtp://u:SECRET@mx.example.com\n")
    file.chmod(0o400)
    assert "are both set" in worker_problems(LIMENA_SMTP_URL_FILE=str(file))
    settings = WorkerSettings.from_env(
        {
            "LIMENA_ENV": "development",
            "LIMENA_MAINTENANCE_DSN": "host=/run/postgresql user=limena_maintenance",
            "LIMENA_BASE_URL": BASE_URL,
            "LIMENA_SECRET_KEY": base64.b64encode(ROOT).decode(),
            "LIMENA_SMTP_URL_FILE": str(file),
            "LIMENA_MAIL_FROM": "no-reply@example.com",
        }
    )
    assert settings.smtp == SmtpServer("mx.example.com", 587, False, "u", "SECRET")
    assert "SECRET" not in repr(settings)


# limena dev
# ---------------------------------------------------------------------------------------------------------------------


def test_limena_dev_delivers_mails_into_its_folder(live: Live) -> None:
    """From the request to the link in the file, with nothing but what a developer has."""
    folder = live.data_dir / "mail"
    address = live.dev["demo"]["people"]["viewer"]["email"]
    before = set(folder.glob("*.eml"))
    with PageClient(base_url=live.base_url, timeout=30) as client:
        assert client.post("/api/v1/auth/password/forgot", json={"email": address}).status_code == 202
        eventually(lambda: len(set(folder.glob("*.eml")) - before) == 1)
        (file,) = set(folder.glob("*.eml")) - before
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        text = file.read_text("utf-8")
        assert f"\nTo: {address}\n" in text
        (token,) = re.findall(rf"^{live.base_url}/password-reset#token=(\S+)$", text, re.MULTILINE)
        password = live.dev["demo"]["people"]["viewer"]["password"]
        for status in (204, 404):
            body = {"token": token, "new_password": password}
            answer = client.post("/api/v1/auth/password/reset", json=body)
            assert answer.status_code == status, answer.text
