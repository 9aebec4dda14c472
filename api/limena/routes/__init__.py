"""Every route of the API, one module a domain. A route that is not in `ENDPOINTS` is not served and not documented."""

from __future__ import annotations

from typing import Final

from limena.routes import admin, ai, api_keys, audit, auth, identity, integrations, platform
from limena.routing import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *auth.ENDPOINTS,
    *identity.ENDPOINTS,
    *api_keys.ENDPOINTS,
    *integrations.ENDPOINTS,
    *audit.ENDPOINTS,
    *ai.ENDPOINTS,
    *admin.ENDPOINTS,
    *platform.ENDPOINTS,
)
