"""Sealed credentials in bulk, for what is measured and tried out about rotations: ten providers a tenant, each secret
told by its place, so that whoever opens it knows whether it is the right one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from limena.vault import Place, Sealed, Secret, TextSource, Vault

PROVIDERS: Final = 10
_BATCH: Final = 1000


def make(dsn: str, count: int, keys: str) -> None:
    """`dsn` is a superuser's; `keys` as in LIMENA_MASTER_KEYS. `count` is a multiple of ten."""
    vault = Vault(TextSource(keys))
    user = uuid4()
    tenants = [(uuid4(), os.urandom(32)) for _ in range(count // PROVIDERS)]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "insert into limena.users (id, email, display_name, password_hash) values (%s, %s, 'Bench', %s)",
            [user, f"{user.hex}@bench.example", "$2b$04$" + "." * 53],
        )
        ids = [tenant for tenant, _ in tenants]
        connection.execute(
            "insert into limena.tenants (id, name) select t, 'Bench' from unnest(%s::uuid[]) as t", [ids]
        )
        connection.execute(
            "insert into limena_private.tenant_salts (tenant_id, salt)"
            " select t, s from unnest(%s::uuid[], %s::bytea[]) as x (t, s)",
            [ids, [salt for _, salt in tenants]],
        )
        rows = list(_rows(vault, tenants))
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            columns = [list(column) for column in zip(*batch, strict=True)]
            connection.execute(
                "insert into limena.integrations (tenant_id, id, provider, changed_by, connected_at)"
                " select t, i, p, %s, now() from unnest(%s::uuid[], %s::uuid[], %s::text[]) as x (t, i, p)",
                [user, *columns[:3]],
            )
            connection.execute(
                "insert into limena.integration_credentials (tenant_id, integration_id, field, key_version, ciphertext)"
                " select t, i, 'secret', %s, c from unnest(%s::uuid[], %s::uuid[], %s::bytea[]) as x (t, i, c)",
                [vault.current_version, columns[0], columns[1], columns[3]],
            )
        connection.execute("vacuum analyze limena.integration_credentials")


def check(dsn: str, keys: str) -> dict[int, int]:
    """Opens every credential, and says how many there are of each version. Raises when one does not open, or is another
    than it was."""
    vault = Vault(TextSource(keys))
    counts: dict[int, int] = {}
    with psycopg.connect(dsn) as connection, connection.cursor(name="credentials") as cursor:
        cursor.execute(
            "select c.tenant_id, c.integration_id, c.key_version, c.ciphertext, s.salt"
            " from limena.integration_credentials as c"
            " inner join limena_private.tenant_salts as s on c.tenant_id = s.tenant_id"
        )
        for tenant, integration, version, ciphertext, salt in cursor:
            place = Place(tenant, integration, "secret")
            if vault.open(Sealed(version, bytes(ciphertext)), place, bytes(salt)) != _secret(integration):
                raise RuntimeError(f"the credential of integration {integration} is another one")
            counts[version] = counts.get(version, 0) + 1
    return counts


def _rows(vault: Vault, tenants: list[tuple[UUID, bytes]]) -> Iterator[tuple[Any, ...]]:
    for tenant, salt in tenants:
        for number in range(PROVIDERS):
            integration = uuid4()
            sealed = vault.seal(_secret(integration), Place(tenant, integration, "secret"), salt)
            yield tenant, integration, f"provider-{number}", sealed.ciphertext


def _secret(integration: UUID) -> Secret:
    return Secret(f"secret of {integration}")
