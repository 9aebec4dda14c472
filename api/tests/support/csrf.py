"""A client that does what our pages do: it fetches a CSRF token and shows it with whatever changes something.

Tests of the CSRF check itself use a plain `httpx.Client`.
"""

import ssl
from typing import Any

import httpx

HEADER = "X-CSRF-Token"

# httpx reads all authorities of the world for each client, which takes longer than most tests. One context for all.
TLS = ssl.create_default_context()


def token_for(base_url: str, headers: httpx.Headers) -> str:
    """The token that belongs to the access token or the cookies among `headers`."""
    shown = [(name, value) for name, value in headers.raw if name.lower() in (b"authorization", b"cookie")]
    response = httpx.get(f"{base_url}/api/v1/auth/csrf", headers=shown, timeout=30, verify=TLS)
    assert response.status_code == 200, response.text
    token: str = response.json()["csrf_token"]
    return token


class PageClient(httpx.Client):
    """Leaves a request alone that has a token of its own, or an API key."""

    def __init__(self, *, verify: ssl.SSLContext = TLS, **options: Any) -> None:
        super().__init__(verify=verify, **options)

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        is_safe = request.method in ("GET", "HEAD", "OPTIONS")
        is_key = request.headers.get("authorization", "").startswith("Bearer lmn_")
        if not is_safe and not is_key and HEADER not in request.headers:
            token = token_for(str(self.base_url).rstrip("/"), request.headers)
            # By hand: a jar keeps a Secure cookie from a server without TLS.
            cookies = [one for one in request.headers.get("cookie", "").split("; ") if one]
            cookies = [one for one in cookies if not one.startswith("limena_csrf=")]
            names = ("limena_csrf", "__Host-limena_csrf")  # of development, and of production
            request.headers["cookie"] = "; ".join([*cookies, *(f"{name}={token}" for name in names)])
            request.headers[HEADER] = token
        return super().send(request, **options)

    def __del__(self) -> None:
        """Whoever is of a demo or registers for a test is not closed by each test."""
        self.close()
