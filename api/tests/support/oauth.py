"""An OAuth 2 and OpenID Connect provider on loopback: Authlib's authorization server on Flask, in a thread.

The protocol is Authlib's: grants, PKCE, client authentication, rotation, revocation. What is here is what an
application gives it, a memory of codes and tokens, and a consent that a test gives or denies. `provider.settings` are
what a test changes: how long tokens live, whether the server is down.
"""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import flask
import httpx
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    ClientMixin,
    TokenMixin,
    grants,
)
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from werkzeug.serving import make_server

CLIENT_ID = "limena-test"
ALLOW = "127.0.0.0/8"


@dataclass
class Client(ClientMixin):  # type: ignore[misc]
    secret: str
    redirect_uris: list[str] = field(default_factory=list)

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uris[0]

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(one for one in (scope or "").split() if one in ("openid", "email", "offline_access"))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret, self.secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    code: str
    redirect_uri: str
    scope: str
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Token(TokenMixin):  # type: ignore[misc]
    access_token: str
    refresh_token: str | None
    scope: str
    expires_at: float
    is_access_revoked: bool = False
    is_refresh_revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope

    def get_expires_in(self) -> int:
        return int(self.expires_at - time.time())

    def is_expired(self) -> bool:
        return time.time() > self.expires_at

    def is_revoked(self) -> bool:
        return self.is_access_revoked

    def get_user(self) -> str:
        return "someone"

    def get_client(self) -> None:
        return None


@dataclass
class Settings:
    expires_in: int = 3600
    rotates: bool = True
    delay: float = 0.0
    """Before a token or a revocation request is answered."""
    fails_with: int | None = None
    """Every request to the token and revocation endpoints gets this status."""


@dataclass
class Provider:
    issuer: str
    client_secret: str
    codes: dict[str, Code] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """The grant of each token request, and `revoke`."""
    verifiers: list[str] = field(default_factory=list)
    settings: Settings = field(default_factory=Settings)
    client: Client = field(default_factory=lambda: Client(""))

    def environment(self) -> dict[str, str]:
        """For a Limena that is registered here."""
        return {
            "LIMENA_OIDC_ISSUER": self.issuer,
            "LIMENA_OIDC_CLIENT_ID": CLIENT_ID,
            "LIMENA_OIDC_CLIENT_SECRET": self.client_secret,
            "LIMENA_OUTBOUND_ALLOW": ALLOW,
        }

    def consent(self, authorization_url: str, *, deny: bool = False) -> dict[str, str]:
        """What a browser does: goes there, agrees or not, and comes back with this query."""
        answer = httpx.post(authorization_url, data={"consent": "no" if deny else "yes"})
        assert answer.status_code == 302, answer.text
        target = urlsplit(answer.headers["location"])
        self.landed = f"{target.scheme}://{target.netloc}{target.path}"
        return {name: values[0] for name, values in parse_qs(target.query).items()}

    def allow(self, base_url: str) -> None:
        self.client.redirect_uris.append(base_url + "/settings/integrations/callback")

    def reset(self) -> None:
        self.settings = Settings()
        self.requests.clear()
        self.tokens.clear()
        self.codes.clear()
        self.verifiers.clear()

    def wait_for(self, grant: str) -> None:
        """Until such a request is being answered."""
        deadline = time.monotonic() + 30
        while grant not in self.requests:
            assert time.monotonic() < deadline, self.requests
            time.sleep(0.01)

    def revoke_everything(self) -> None:
        for token in self.tokens:
            token.is_access_revoked = token.is_refresh_revoked = True

    def live(self) -> list[Token]:
        return [token for token in self.tokens if not token.is_refresh_revoked]


def _application(provider: Provider, client: Client) -> flask.Flask:
    app = flask.Flask(__name__)

    def query_client(client_id: str) -> Client | None:
        return client if client_id == CLIENT_ID else None

    def save_token(token: dict[str, Any], request: Any) -> None:
        provider.tokens.append(
            Token(
                token["access_token"],
                token.get("refresh_token"),
                token.get("scope") or "",
                time.time() + token["expires_in"],
            )
        )

    class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

        def save_authorization_code(self, code: str, request: Any) -> None:
            data = request.payload.data
            provider.codes[code] = Code(
                code,
                request.payload.redirect_uri,
                request.payload.scope or "",
                data.get("code_challenge"),
                data.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            return provider.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            del provider.codes[authorization_code.code]

        def authenticate_user(self, authorization_code: Code) -> str:
            return "someone"

    class RefreshTokenGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

        @property
        def INCLUDE_NEW_REFRESH_TOKEN(self) -> bool:
            return provider.settings.rotates

        def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
            found = [t for t in provider.tokens if t.refresh_token == refresh_token and not t.is_refresh_revoked]
            return found[0] if found else None

        def authenticate_user(self, refresh_token: Token) -> str:
            return "someone"

        def revoke_old_credential(self, refresh_token: Token) -> None:
            refresh_token.is_refresh_revoked = provider.settings.rotates

    class Revocation(RevocationEndpoint):  # type: ignore[misc]
        CLIENT_AUTH_METHODS = ("client_secret_basic",)

        def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
            found = [t for t in provider.tokens if token_string in (t.access_token, t.refresh_token)]
            return found[0] if found else None

        def revoke_token(self, token: Token, request: Any) -> None:
            token.is_access_revoked = token.is_refresh_revoked = True

    server = AuthorizationServer(app, query_client=query_client, save_token=save_token)
    server.register_token_generator(
        "default",
        BearerTokenGenerator(
            lambda *args, **kwargs: "marked-access-" + secrets.token_hex(24),
            lambda *args, **kwargs: "marked-refresh-" + secrets.token_hex(24),
            lambda client, grant_type: provider.settings.expires_in,
        ),
    )
    server.register_grant(AuthorizationCodeGrant, [CodeChallenge(required=True)])
    server.register_grant(RefreshTokenGrant)
    server.register_endpoint(Revocation)

    @app.before_request
    def trouble() -> Any:
        if flask.request.path in ("/token", "/revoke") and provider.settings.fails_with is not None:
            return flask.Response("<html>out of order</html>", provider.settings.fails_with)
        return None

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Any:
        return {
            "issuer": provider.issuer,
            "authorization_endpoint": f"{provider.issuer}/authorize",
            "token_endpoint": f"{provider.issuer}/token",
            "revocation_endpoint": f"{provider.issuer}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    @app.post("/authorize")
    def authorize() -> Any:
        user = "someone" if flask.request.form["consent"] == "yes" else None
        try:
            grant = server.get_consent_grant(end_user=user)
        except OAuth2Error as error:
            return flask.Response(str(error), 400)
        return server.create_authorization_response(grant=grant, grant_user=user)

    @app.post("/token")
    def token() -> Any:
        provider.requests.append(flask.request.form.get("grant_type", ""))
        if verifier := flask.request.form.get("code_verifier"):
            provider.verifiers.append(verifier)
        time.sleep(provider.settings.delay)
        return server.create_token_response()

    @app.post("/revoke")
    def revoke() -> Any:
        provider.requests.append("revoke")
        time.sleep(provider.settings.delay)
        return server.create_endpoint_response(Revocation.ENDPOINT_NAME)

    return app


@contextmanager
def serve_provider() -> Iterator[Provider]:
    client = Client("marked-client-secret-" + secrets.token_hex(16))
    provider = Provider("", client.secret, client=client)
    server = make_server("127.0.0.1", 0, _application(provider, client), threaded=True)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="provider")
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
