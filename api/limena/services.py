"""What the handlers of an application share, made once at its start. No global state: two applications in one process
do not know of each other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from limena.config import Settings
from limena.csrf import Csrf
from limena.devices import Devices
from limena.integrations import Integrations
from limena.metrics import Metrics
from limena.passwords import PasswordHasher
from limena.tokens import KeyRing
from limena.transaction import Database

if TYPE_CHECKING:
    from limena.routing import Endpoint


@dataclass(slots=True)
class Lifecycle:
    """Where in its life the server around the application is."""

    is_draining: bool = False
    """It has been told to end: it answers what comes, and wants nothing more."""


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    keys: KeyRing
    hasher: PasswordHasher
    database: Database
    csrf: Csrf
    devices: Devices
    refresh_key: bytes = field(repr=False)
    """Of which the ids of refresh tokens are made (`limena.tokens.successor_id`)."""
    mail_key: bytes = field(repr=False)
    """Of which the links in mails are made (`limena.mail_tokens`)."""
    expected_digest: str
    """Of the SQL files that this process was built with."""
    endpoints: tuple[Endpoint, ...]
    metrics: Metrics
    integrations: Integrations
    lifecycle: Lifecycle
    refreshes: dict[str, asyncio.Future[tuple[str, str | None, datetime]]] = field(default_factory=dict, repr=False)
    """The refreshes that are under way, by the id of the token that was shown: one answer for all who show it now."""


def services_of(request: HTTPConnection) -> Services:
    services: Services = request.app.state.services
    return services
