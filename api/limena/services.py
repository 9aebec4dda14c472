"""What the handlers of an application share, made once at its start. No global state: two applications in one process
do not know of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from limena.config import Settings
from limena.passwords import PasswordHasher
from limena.tokens import KeyRing
from limena.transaction import Database

if TYPE_CHECKING:
    from limena.routing import Endpoint


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    keys: KeyRing
    hasher: PasswordHasher
    database: Database
    expected_digest: str
    """Of the SQL files that this process was built with."""
    endpoints: tuple[Endpoint, ...]


def services_of(request: HTTPConnection) -> Services:
    services: Services = request.app.state.services
    return services
