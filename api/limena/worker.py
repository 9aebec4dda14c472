"""`limena worker`: delivers mail and keeps the database tidy. Any number of them may run.

Nothing decides which worker does what, and none waits for another. Mails are leased, each to one worker
(`limena.claim_mail`); two that prune at once skip the rows that the other one has, two that expire AI reservations the
tenants' rows; two that seal the audit log take turns; partitions are made under a lock that only their maker can take.
So the work is done once, however many workers there are, and a worker that dies leaves nothing behind but leases that
run out. A mail is delivered at least once: who dies between the server's answer and the database's leaves it to be
sent again, under the same Message-ID.

It goes on when the database or the mail server is down, and asks again after a pause that grows. On a signal it
finishes the mails that it has in hand, a minute at most, and ends. Refuses to log whom a mail goes to, what it says, or
what a server said about it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

from limena import secrets
from limena.config import WorkerSettings
from limena.delivery import DeliveryError, FileTransport, Outcome, SmtpTransport, Transport
from limena.logs import describe
from limena.mail import BadAddressError, MailComposer, OutboxMail, UnknownTemplateError
from limena.pools import session_conninfo

log = logging.getLogger("limena.worker")

POLL_SECONDS: Final = 5.0
"""How long a mail waits at most when there is nothing else to do. `limena dev` polls each second."""
MAINTENANCE_SECONDS: Final = 1800.0
SEALING_SECONDS: Final = 60.0
"""How long a row of the audit log goes unsealed: two rounds at most, the first of which sets the fence."""
EXPIRY_SECONDS: Final = 15.0
"""How long an AI reservation that is overdue, or a trip that is over, stays so at most in a tenant that makes no calls.
(One that does brings itself up to date.)"""
BATCH: Final = 5
"""Mails that one worker delivers at the same time, each over a connection of its own."""
MAX_PAUSE_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 120.0
"""How long a worker goes on trying to tell the database what became of a mail: with the delivery's minute well below
the five minutes of the lease. After a signal, as long as a container is usually given to stop."""
SETTLE_SECONDS_AFTER_SIGNAL: Final = 10.0
_STATEMENT_TIMEOUT_MS: Final = 60_000
_MAX_PRUNE_ROUNDS: Final = 1000

_CLAIM: Final[LiteralString] = "select * from limena.claim_mail(p_limit => %(limit)s)"
_SETTLE: Final[LiteralString] = """
    select limena.settle_mail(
        p_tenant_id => %(tenant_id)s, p_id => %(id)s, p_is_delivered => %(is_delivered)s, p_is_final => %(is_final)s
    )
"""
_ENSURE_PARTITIONS: Final[LiteralString] = "select limena.ensure_partitions() as made"
_DUE: Final[LiteralString] = "select limena.due_ai_quotas() as tenant_id"
_EXPIRE: Final[LiteralString] = "select limena.expire_reservations(p_tenant_id => %(tenant_id)s) as has_more"
_SEAL: Final[LiteralString] = "select limena.seal_audit_log() as sealed"
_SEALED_AT_ONCE: Final = 10_000
_RETAIN: Final[LiteralString] = "select limena.apply_retention() as removed"
_DROP_AI_USAGE: Final[LiteralString] = "select limena.drop_ai_usage(p_months => %(months)s) as month"
_PRUNE: Final[LiteralString] = "select limena.prune() as pruned"
_ERASE: Final[LiteralString] = "select limena.erase_tenants() as erased"


class Worker:
    """`dsn` logs in as limena_maintenance, or as somebody who is a member of it."""

    def __init__(
        self,
        *,
        dsn: str,
        composer: MailComposer,
        transport: Transport,
        ai_usage_months: int = 24,
        poll_seconds: float = POLL_SECONDS,
        maintenance_seconds: float = MAINTENANCE_SECONDS,
        expiry_seconds: float = EXPIRY_SECONDS,
        sealing_seconds: float = SEALING_SECONDS,
        max_pause_seconds: float = MAX_PAUSE_SECONDS,
    ) -> None:
        self._composer: Final = composer
        self._transport: Final = transport
        self._ai_usage_months: Final = ai_usage_months
        self._poll_seconds: Final = poll_seconds
        self._maintenance_seconds: Final = maintenance_seconds
        self._expiry_seconds: Final = expiry_seconds
        self._sealing_seconds: Final = sealing_seconds
        self._max_pause_seconds: Final = max_pause_seconds
        self._batch = BATCH
        # Three, so that no mail waits for the pruning, and neither for the sealing.
        self._mail: Final = _Maintenance(dsn)
        self._sealing: Final = _Maintenance(dsn)
        self._tidying: Final = _Maintenance(dsn)

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set. Does not raise."""
        try:
            await asyncio.gather(
                self._repeat(stop, "mail", lambda: self._deliver_due(stop)),
                self._repeat(stop, "maintenance", lambda: self._tidy(stop)),
                self._repeat(stop, "AI quotas", lambda: self._expire(stop)),
                self._repeat(stop, "sealing", self._seal),
            )
        finally:
            await self._mail.close()
            await self._sealing.close()
            await self._tidying.close()

    async def _repeat(self, stop: asyncio.Event, what: str, step: Callable[[], Awaitable[float]]) -> None:
        """Does `step`, which answers how many seconds may pass until the next one, again and again. After a failure,
        pauses of 1 second, 2, 4 …"""
        failures = 0
        while not stop.is_set():
            try:
                pause = await step()
                failures = 0
            except Exception as error:
                # Whatever it is, the next step starts anew: a worker that gives up delivers nothing at all.
                failures += 1
                pause = min(self._max_pause_seconds, 2.0 ** min(failures - 1, 16))
                log.warning("%s: %s; next try in about %.0f s", what, _told(error), pause)
            if pause > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause * random.uniform(0.8, 1.2))  # noqa: S311 – to fall out of step

    # Mail

    async def _deliver_due(self, stop: asyncio.Event) -> float:
        rows = await self._mail.call(_CLAIM, limit=self._batch)
        mails = [OutboxMail(**row) for row in rows]
        is_full = len(mails) == self._batch
        results = await asyncio.gather(*(self._deliver(mail, stop) for mail in mails), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        # While nothing goes out, one mail at a time is enough to find out when it does again.
        self._batch = 1 if failures else BATCH
        if failures:
            raise failures[0]
        return 0 if is_full else self._poll_seconds

    async def _deliver(self, mail: OutboxMail, stop: asyncio.Event) -> None:
        """Raises when other mails would not fare better."""
        try:
            await self._transport.deliver(self._composer.compose(mail))
        except DeliveryError as error:
            await self._settle(mail, stop, is_final=error.outcome is Outcome.REFUSED)
            self._log_failure(mail, str(error))
            if error.outcome is Outcome.UNREACHABLE:
                raise
        except BadAddressError:
            await self._settle(mail, stop, is_final=True)
            self._log_failure(mail, "refused for good: no mail can be sent to such an address")
        except UnknownTemplateError:
            await self._settle(mail, stop)
            self._log_failure(mail, "not sent: this version knows no such mail")
        except Exception as error:
            await self._settle(mail, stop)
            self._log_failure(mail, f"not sent: {describe(error)}")
        else:
            await self._settle(mail, stop, is_delivered=True)
            log.info("mail %s (%s): delivered, attempt %d", mail.id, mail.template, mail.attempts)

    def _log_failure(self, mail: OutboxMail, reason: str) -> None:
        log.warning("mail %s (%s): %s, attempt %d", mail.id, mail.template, reason, mail.attempts)

    async def _settle(
        self, mail: OutboxMail, stop: asyncio.Event, *, is_delivered: bool = False, is_final: bool = False
    ) -> None:
        """Tells the database, again and again while it is down: an unsettled mail is sent twice."""
        begun = asyncio.get_running_loop().time()
        pause = 0.1
        while True:
            try:
                await self._mail.call(
                    _SETTLE, tenant_id=mail.tenant_id, id=mail.id, is_delivered=is_delivered, is_final=is_final
                )
                return
            except psycopg.OperationalError:
                patience = SETTLE_SECONDS_AFTER_SIGNAL if stop.is_set() else SETTLE_SECONDS
                if asyncio.get_running_loop().time() - begun > patience:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, 5.0)

    # The rest

    async def _seal(self) -> float:
        """A run that sealed about as much as one may is followed by another at once."""
        return 0 if (await self._sealing.call(_SEAL))[0]["sealed"] >= _SEALED_AT_ONCE else self._sealing_seconds

    async def _expire(self, stop: asyncio.Event) -> float:
        """Each tenant in a transaction of its own: what fails for one, or takes long, is nobody else's."""
        has_more = False
        for row in await self._tidying.call(_DUE):
            if stop.is_set():
                break
            try:
                has_more |= (await self._tidying.call(_EXPIRE, **row))[0]["has_more"]
            except psycopg.Error as error:
                if error.sqlstate is None:  # the connection, and not this tenant
                    raise
                log.warning("AI quota of tenant %s: %s; the others go on", row["tenant_id"], _told(error))
        return 0 if has_more else self._expiry_seconds

    async def _tidy(self, stop: asyncio.Event) -> float:
        made = (await self._tidying.call(_ENSURE_PARTITIONS))[0]["made"]
        if made:
            log.info("maintenance: made %d partitions of the logs", made)
        pruned = 0
        for _ in range(_MAX_PRUNE_ROUNDS):
            if stop.is_set():
                break
            count = (await self._tidying.call(_PRUNE))[0]["pruned"]
            pruned += count
            if not count:
                break
        if pruned:
            log.info("maintenance: pruned %d rows", pruned)
        removed = 0
        while not stop.is_set() and (count := (await self._tidying.call(_RETAIN))[0]["removed"]):
            removed += count
        if removed:
            log.info("maintenance: removed %d segments of the audit log that were past their time", removed)
        if not stop.is_set() and (
            month := (await self._tidying.call(_DROP_AI_USAGE, months=self._ai_usage_months))[0]["month"]
        ):
            log.info("maintenance: removed the AI calls of %s, which were past their time", month)
        while not stop.is_set() and (await self._tidying.call(_ERASE))[0]["erased"]:
            log.info("maintenance: erased a tenant that was deleted 30 days ago")
        return self._maintenance_seconds


def create_worker(settings: WorkerSettings, *, mail_folder: Path, poll_seconds: float = POLL_SECONDS) -> Worker:
    """A worker as configured. `mail_folder`: where mails become files when no SMTP server is configured."""
    host = urlsplit(settings.base_url).hostname or "localhost"
    transport: Transport
    if settings.smtp is None:
        transport = FileTransport(mail_folder)
    else:
        transport = SmtpTransport(
            settings.smtp,
            local_name=f"[IPv6:{host}]" if ":" in host else host,
            needs_tls=settings.environment == "production",
        )
    composer = MailComposer(
        base_url=settings.base_url,
        sender=settings.mail_from,
        mail_key=secrets.derive(settings.secret_key, secrets.MAIL),
    )
    return Worker(
        dsn=settings.maintenance_dsn,
        composer=composer,
        transport=transport,
        ai_usage_months=settings.ai_usage_months,
        poll_seconds=poll_seconds,
    )


def run(worker: Worker) -> None:
    """Works until SIGTERM, SIGINT or SIGHUP, finishes what it has in hand, and returns. For the main thread."""

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        log.info("worker: started")
        await worker.run(stop)
        log.info("worker: stopped")

    asyncio.run(work())


class _Maintenance:
    """One connection for one call at a time, opened when it is needed and again after it broke."""

    def __init__(self, dsn: str) -> None:
        self._conninfo: Final = session_conninfo(dsn, name="limena worker", statement_timeout_ms=_STATEMENT_TIMEOUT_MS)
        self._lock: Final = asyncio.Lock()
        self._connection: psycopg.AsyncConnection[dict[str, Any]] | None = None

    async def call(self, statement: LiteralString, **values: object) -> list[dict[str, Any]]:
        """Calls one procedure, in a transaction of its own, and returns its rows. Raises `psycopg.Error`."""
        async with self._lock:
            if self._connection is None:
                self._connection = await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True, prepare_threshold=None, row_factory=dict_row
                )
            try:
                cursor = await self._connection.execute(statement, values)
                return await cursor.fetchall()
            except BaseException:
                if self._connection.broken or self._connection.closed:
                    self._connection = None
                raise

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


def _told(error: BaseException) -> str:
    """For the log: our own words, or the kind of the error without its text."""
    if isinstance(error, psycopg.errors.UndefinedFunction | psycopg.errors.InvalidSchemaName):
        return "Limena is not deployed in this database, or is of another version: run limena deploy"
    return str(error) if isinstance(error, DeliveryError) else describe(error)
