"""What the integrations of a tenant need besides PostgreSQL: the vault, the providers, a client for each.

`open_credential` is for Python code inside a `tenant_transaction`. Refuses to hold anything of a tenant: what is here
is made once and serves all of them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from limena.config import Settings
from limena.metrics import Metrics
from limena.oauth import OAuthClient
from limena.outbound import Guard
from limena.providers import PROVIDERS, ApiKeyProvider, OAuthProvider
from limena.vault import MasterKeySource, Place, Sealed, Secret, UnreadableCredential, Vault

log = logging.getLogger("limena")


class NotConnected(Exception):
    """The tenant has not connected this provider, or its access token has expired: the route `access-token` refreshes
    it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a tenant's code shows to a provider."""

    secret: Secret
    """An API key, or an access token."""
    base_url: str | None
    """Of the provider; or chosen by the tenant: connect to that with `Guard.client()` alone, which refuses what points
    inside. It is what the secret was sealed with, never what stands in a column."""
    expires_at: datetime | None


class Integrations:
    """`guard` checks what tenants choose, `clients` has the OAuth 2 providers that are configured. They share no guard:
    a tenant's slow name keeps no other tenant from refreshing."""

    def __init__(self, vault: Vault, guard: Guard, clients: Mapping[str, OAuthClient], metrics: Metrics) -> None:
        self.vault: Final = vault
        self.guard: Final = guard
        self.clients: Final = clients
        self._metrics: Final = metrics

    @classmethod
    def from_settings(cls, settings: Settings, metrics: Metrics, master_keys: MasterKeySource) -> Integrations:
        """Raises `MasterKeyError`."""
        guard, operators = Guard(settings.outbound_allow), Guard(settings.outbound_allow)
        clients = {
            name: OAuthClient(provider, settings.oauth[name], operators, base_url=settings.base_url)
            for name, provider in PROVIDERS.items()
            if isinstance(provider, OAuthProvider) and name in settings.oauth
        }
        return cls(Vault(master_keys), guard, clients, metrics)

    def open(self, provider: str, sealed: Sealed, place: Place, salt: bytes) -> Secret:
        """Opens, or counts that it could not. Raises `UnreadableCredential`."""
        try:
            return self.vault.open(sealed, place, salt)
        except UnreadableCredential as error:
            self._metrics.unreadable_credentials.labels(provider if provider in PROVIDERS else "unknown").inc()
            log.error("%s, provider %s", error, provider)
            raise


def with_base_url(secret: Secret, base_url: str | None) -> Secret:
    """What is sealed of a key whose provider's address the tenant chooses: both, so that nobody who writes the column
    `base_url` has the key sent to an address of theirs. Neither of them has a line end."""
    return secret if base_url is None else Secret(f"{base_url}\n{secret.reveal()}")


def split_base_url(provider: str, secret: Secret) -> tuple[str | None, Secret]:
    """The address and the key that were sealed together; a provider with an address of its own has that one."""
    known = PROVIDERS.get(provider)
    if not isinstance(known, ApiKeyProvider):
        return None, secret
    if known.base_url is not None:
        return known.base_url, secret
    base_url, _, key = secret.reveal().partition("\n")
    return base_url, Secret(key)


def sealed_credentials(document: Mapping[str, Any], item: Mapping[str, Any]) -> Iterator[tuple[Sealed, Place]]:
    """The ciphertexts of an integration, as `limena.read_integrations` tells them."""
    for one in item["credentials"]:
        place = Place(UUID(document["tenant_id"]), UUID(item["id"]), one["field"])
        yield Sealed(one["key_version"], bytes.fromhex(one["ciphertext"])), place


async def open_credential(tx: AsyncConnection[TupleRow], vault: Vault, provider: str) -> Credential:
    """The credential of a connected provider, inside a `tenant_transaction` whose caller has `integrations:use`:

        credential = await open_credential(tx, vault, "anthropic")
        headers = {"x-api-key": credential.secret.reveal()}

    Raises `NotConnected`, `UnreadableCredential`, and what PostgreSQL raises."""
    cursor = await tx.execute(
        "select limena.read_integrations(p_permission => 'integrations:use', p_provider => %s)::text", [provider]
    )
    row = await cursor.fetchone()
    document = json.loads(row[0]) if row else {"items": []}
    for item in document["items"]:
        expires_at = datetime.fromisoformat(item["expires_at"]) if item["expires_at"] else None
        if expires_at is not None and expires_at <= datetime.now(UTC):
            break
        for sealed, place in sealed_credentials(document, item):
            if place.field != "refresh_token":
                secret = vault.open(sealed, place, bytes.fromhex(document["salt"] or ""))
                base_url, secret = split_base_url(provider, secret)
                return Credential(secret, base_url, expires_at)
    raise NotConnected(provider)
