"""Making a platform admin: no role of the API may. Whoever can deploy can, as limena_owner for this one call."""

from __future__ import annotations

import psycopg

from limena.deploy import owner_connection


class PromotionError(Exception):
    """Why nobody was promoted, as a sentence."""


def promote_user(deploy_dsn: str, email: str) -> None:
    """Makes the user with this address a platform admin; nothing happens to one who is. The audit log shows it.

    Raises `PromotionError`; `DeployError` when Limena is not deployed, or `deploy_dsn` cannot act as limena_owner."""
    try:
        with owner_connection(deploy_dsn) as connection:
            connection.execute("select limena.promote_user(p_email => %(email)s)", {"email": email})
    except psycopg.errors.NoDataFound:
        raise PromotionError(f"No user has the address {email}.") from None
    except psycopg.Error as error:
        raise PromotionError(f"The user could not be promoted: {str(error).strip()}") from None
