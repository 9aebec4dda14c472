"""The configuration: environment variables `LIMENA_*`, each in one table here and in docs/configuration.md.

A secret may also come from a file, named by the variable with `_FILE` behind it. What is missing, malformed or weak is
told in a `ConfigError`: one sentence for each problem, all of them at once, and never a value of a secret.

Refuses: secrets in files that everyone on the machine may read, a secret that is given twice, defaults for secrets, and
in production whatever a development set-up gets away with (see `Settings`). It reads the environment once and opens no
connection.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.headerregistry import Address
from pathlib import Path
from typing import Final, Literal, TypeVar

import psycopg
from limits import RateLimitItem
from psycopg.conninfo import conninfo_to_dict

from limena import front_door, outbound
from limena.delivery import SmtpServer
from limena.front_door import BUDGETS, Budget, FrontDoor
from limena.mail import BadAddressError, parse_sender
from limena.providers import PROVIDERS, OAuthProvider, OAuthRegistration
from limena.tokens import KeyStrengthError, SigningKey
from limena.vault import MasterKeyError, MasterKeySource, TextSource

Environment = Literal["development", "production"]
T = TypeVar("T")
Registration = Literal["open", "verified", "closed"]

MAX_SECRET_FILE_BYTES: Final = 65_536
MINIMUM_PASSWORD_LENGTH: Final = 16
"""Characters of a password inside a DSN, in production. A generated one has 22 and more; nobody types it."""
MINIMUM_SECRET_KEY_BYTES: Final = 32
MINIMUM_BCRYPT_COST: Final = 4
MAXIMUM_BCRYPT_COST: Final = 16
"""Each step doubles the time: 12 takes about 0.3 s, 16 about 5 s."""
MINIMUM_PRODUCTION_BCRYPT_COST: Final = 10
"""The least that OWASP's password storage cheat sheet accepts for bcrypt. The default is 12."""

_ORIGIN: Final = re.compile(r"(https?)://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_HOW_TO_MAKE_A_KEY: Final = "limena jwt-key generate --out jwt-key.pem"
_DEVELOPMENT_SENDER: Final = Address(display_name="Limena", username="limena", domain="localhost")
_HOW_TO_MAKE_A_SECRET: Final = "openssl rand -base64 32"  # noqa: S105 – a command
_WHICH_KEY: Final = {
    "LIMENA_JWT_PREVIOUS_KEY": "give the one that signed before LIMENA_JWT_KEY.",
    "LIMENA_JWT_NEXT_KEY": "give the one that will sign after LIMENA_JWT_KEY.",
}


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has one sentence each; none repeats a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems: Final = tuple(problems)


@dataclass(frozen=True, slots=True)
class Variable:
    """One row of the table in docs/configuration.md, which a test holds to this one."""

    name: str
    type: str
    default: str | None
    """As text, as someone would write it into the environment. None: there is none."""
    is_secret: bool = False
    """A secret may come from a file as well, `NAME_FILE`, and shows in no `repr`."""


VARIABLES: Final = (
    Variable("LIMENA_ENV", "`production` or `development`", "production"),
    Variable("LIMENA_APP_DSN", "PostgreSQL DSN", None, is_secret=True),
    Variable("LIMENA_AUTH_DSN", "PostgreSQL DSN", None, is_secret=True),
    Variable("LIMENA_READONLY_DSN", "PostgreSQL DSN", None, is_secret=True),
    Variable("LIMENA_MAINTENANCE_DSN", "PostgreSQL DSN", None, is_secret=True),
    Variable("LIMENA_DEPLOY_DSN", "PostgreSQL DSN", None, is_secret=True),
    Variable("LIMENA_BASE_URL", "URL", None),
    Variable("LIMENA_JWT_KEY", "PEM", None, is_secret=True),
    Variable("LIMENA_JWT_PREVIOUS_KEY", "PEM", None, is_secret=True),
    Variable("LIMENA_JWT_NEXT_KEY", "PEM", None, is_secret=True),
    Variable("LIMENA_SECRET_KEY", "base64", None, is_secret=True),
    Variable("LIMENA_MASTER_KEYS", "list of `VERSION:BASE64`", None, is_secret=True),
    Variable("LIMENA_REGISTRATION", "`open`, `verified` or `closed`", None),
    Variable("LIMENA_BCRYPT_COST", "whole number", "12"),
    Variable("LIMENA_PASSWORD_WORKERS", "whole number", "2"),
    Variable("LIMENA_APP_POOL_SIZE", "whole number", "10"),
    Variable("LIMENA_AUTH_POOL_SIZE", "whole number", "4"),
    Variable("LIMENA_EXPORT_POOL_SIZE", "whole number", "2"),
    Variable("LIMENA_READONLY_POOL_SIZE", "whole number", "2"),
    Variable("LIMENA_POOL_TIMEOUT_SECONDS", "number", "5"),
    Variable("LIMENA_STATEMENT_TIMEOUT_MS", "whole number", "5000"),
    Variable("LIMENA_MAX_BODY_BYTES", "whole number", "65536"),
    Variable("LIMENA_TLS_CERT", "file", None),
    Variable("LIMENA_TLS_KEY", "file", None),
    Variable("LIMENA_TRUSTED_PROXIES", "list of CIDR blocks", None),
    Variable("LIMENA_PROXY_HEADER", "`x-forwarded-for` or `forwarded`", "x-forwarded-for"),
    Variable("LIMENA_ALLOWED_HOSTS", "list of hosts", None),
    Variable("LIMENA_CORS_ORIGINS", "list of origins", None),
    Variable("LIMENA_RATE_LIMITS", "`on` or `off`", "on"),
    Variable("LIMENA_RATE_LIMIT_STORAGE", "URL", "memory://", is_secret=True),
    Variable("LIMENA_RATE_LIMIT_LOG_IN", "rate", "30/minute"),
    Variable("LIMENA_RATE_LIMIT_REGISTRATION", "rate", "20/hour"),
    Variable("LIMENA_RATE_LIMIT_RESET", "rate", "20/hour"),
    Variable("LIMENA_RATE_LIMIT_FAILED_KEYS", "rate", "30/minute"),
    Variable("LIMENA_RATE_LIMIT_OTHER", "rate", "3000/minute"),
    Variable("LIMENA_HEADER_TIMEOUT_SECONDS", "number", "10"),
    Variable("LIMENA_BODY_TIMEOUT_SECONDS", "number", "30"),
    Variable("LIMENA_MAX_CONNECTIONS", "whole number", "1000"),
    Variable("LIMENA_MAX_CONNECTIONS_PER_ADDRESS", "whole number", "200"),
    Variable("LIMENA_DRAIN_SECONDS", "number", "6"),
    Variable("LIMENA_METRICS", "`on` or `off`", "on"),
    Variable("LIMENA_METRICS_TOKEN", "text", None, is_secret=True),
    Variable("LIMENA_SECURITY_CONTACT", "URI", None),
    Variable("LIMENA_SMTP_URL", "URL", None, is_secret=True),
    Variable("LIMENA_MAIL_FROM", "address", None),
    Variable("LIMENA_AI_USAGE_MONTHS", "whole number", "24"),
    Variable("LIMENA_GOOGLE_CLIENT_ID", "text", None),
    Variable("LIMENA_GOOGLE_CLIENT_SECRET", "text", None, is_secret=True),
    Variable("LIMENA_GOOGLE_SCOPES", "list of scopes", None),
    Variable("LIMENA_MICROSOFT_CLIENT_ID", "text", None),
    Variable("LIMENA_MICROSOFT_CLIENT_SECRET", "text", None, is_secret=True),
    Variable("LIMENA_MICROSOFT_SCOPES", "list of scopes", None),
    Variable("LIMENA_MICROSOFT_TENANT", "text", "organizations"),
    Variable("LIMENA_OIDC_CLIENT_ID", "text", None),
    Variable("LIMENA_OIDC_CLIENT_SECRET", "text", None, is_secret=True),
    Variable("LIMENA_OIDC_SCOPES", "list of scopes", None),
    Variable("LIMENA_OIDC_ISSUER", "URL", None),
    Variable("LIMENA_OUTBOUND_ALLOW", "list of CIDR blocks", None),
    Variable("LIMENA_DEV_BINDIR", "folder", None),
)
_BY_NAME: Final = {variable.name: variable for variable in VARIABLES}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the API needs to run. `from_env` is the way to make one; see docs/configuration.md for each field.

    Production refuses what development lets pass: a base URL without TLS, a bcrypt cost below 10, and DSNs with a short
    password. (Whether a DSN verifies the server's certificate is the doctor's business.)"""

    environment: Environment
    app_dsn: str = field(repr=False)
    auth_dsn: str = field(repr=False)
    readonly_dsn: str | None = field(repr=False)
    maintenance_dsn: str | None = field(repr=False)
    deploy_dsn: str | None = field(repr=False)
    base_url: str
    """Scheme and host, no slash at the end. It is also the issuer (`iss`) of every token."""
    jwt_keys: tuple[str, ...] = field(repr=False)
    """PEM private keys: the current one, which signs; then the previous and the next one, if there are any."""
    secret_key: bytes = field(repr=False)
    """32 bytes or more, of which `limena.secrets` derives what is not a key pair."""
    master_keys: MasterKeySource = field(repr=False)
    """Of the vault."""
    oauth: Mapping[str, OAuthRegistration]
    """By the provider's name: those that this server is registered with."""
    outbound_allow: tuple[outbound.Network, ...]
    """Networks that are reached although they are not public."""
    registration: Registration
    bcrypt_cost: int
    password_workers: int
    app_pool_size: int
    auth_pool_size: int
    export_pool_size: int
    readonly_pool_size: int
    pool_timeout_seconds: float
    statement_timeout_ms: int
    max_body_bytes: int
    front_door: FrontDoor

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Reads, checks and never guesses. Raises `ConfigError` with every problem that it found."""
        reader = _Reader(env)
        settings = cls(
            environment=reader.environment,
            app_dsn=reader.required_dsn("LIMENA_APP_DSN", "limena_app"),
            auth_dsn=reader.required_dsn("LIMENA_AUTH_DSN", "limena_auth"),
            readonly_dsn=reader.dsn("LIMENA_READONLY_DSN"),
            maintenance_dsn=reader.dsn("LIMENA_MAINTENANCE_DSN"),
            deploy_dsn=reader.dsn("LIMENA_DEPLOY_DSN"),
            base_url=reader.base_url(),
            jwt_keys=reader.jwt_keys(),
            secret_key=reader.secret_key(),
            master_keys=reader.master_keys() or TextSource(""),
            oauth=reader.oauth(),
            outbound_allow=reader.outbound_allow(),
            registration=reader.registration(),
            bcrypt_cost=reader.bcrypt_cost(),
            password_workers=reader.whole_number("LIMENA_PASSWORD_WORKERS", 1, 64),
            app_pool_size=reader.whole_number("LIMENA_APP_POOL_SIZE", 1, 1000),
            auth_pool_size=reader.whole_number("LIMENA_AUTH_POOL_SIZE", 1, 1000),
            export_pool_size=reader.whole_number("LIMENA_EXPORT_POOL_SIZE", 2, 1000),
            readonly_pool_size=reader.whole_number("LIMENA_READONLY_POOL_SIZE", 1, 1000),
            pool_timeout_seconds=reader.number("LIMENA_POOL_TIMEOUT_SECONDS", 0.1, 60),
            statement_timeout_ms=reader.whole_number("LIMENA_STATEMENT_TIMEOUT_MS", 100, 600_000),
            max_body_bytes=reader.whole_number("LIMENA_MAX_BODY_BYTES", 1024, 10_485_760),
            front_door=reader.front_door(),
        )
        reader.raise_problems()
        return settings


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """What the commands of operators need. A deploy runs where no key that signs tokens should be, so nothing is
    required here: each command says what it misses."""

    environment: Environment
    app_dsn: str | None = field(repr=False)
    auth_dsn: str | None = field(repr=False)
    readonly_dsn: str | None = field(repr=False)
    maintenance_dsn: str | None = field(repr=False)
    deploy_dsn: str | None = field(repr=False)
    master_keys: MasterKeySource | None = field(repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> OperatorSettings:
        """Raises `ConfigError` with every problem that it found; a DSN that is not given is None."""
        reader = _Reader(env)
        settings = cls(
            environment=reader.environment,
            app_dsn=reader.dsn("LIMENA_APP_DSN"),
            auth_dsn=reader.dsn("LIMENA_AUTH_DSN"),
            readonly_dsn=reader.dsn("LIMENA_READONLY_DSN"),
            maintenance_dsn=reader.dsn("LIMENA_MAINTENANCE_DSN"),
            deploy_dsn=reader.dsn("LIMENA_DEPLOY_DSN"),
            master_keys=reader.master_keys(is_required=False),
        )
        reader.raise_problems()
        return settings


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What `limena worker` needs. It runs where no key that signs tokens and no log-in of the API has to be."""

    environment: Environment
    maintenance_dsn: str = field(repr=False)
    base_url: str
    """Scheme and host, no slash at the end: where the links in mails lead."""
    secret_key: bytes = field(repr=False)
    smtp: SmtpServer | None
    """None in development alone, where mails go to files then."""
    mail_from: Address
    ai_usage_months: int
    """For how many months besides the running one each AI call is kept."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> WorkerSettings:
        """Raises `ConfigError` with every problem that it found."""
        reader = _Reader(env)
        settings = cls(
            environment=reader.environment,
            maintenance_dsn=reader.required_dsn("LIMENA_MAINTENANCE_DSN", "limena_maintenance", who="the worker"),
            base_url=reader.base_url(),
            secret_key=reader.secret_key(),
            smtp=reader.smtp_server(),
            mail_from=reader.mail_from(),
            ai_usage_months=reader.whole_number("LIMENA_AI_USAGE_MONTHS", 3, 120),
        )
        reader.raise_problems()
        return settings


class _Reader:
    """Reads variables one by one and keeps the problems, so that whoever sets this up hears of all of them at once.

    After a problem a method returns something of the right type, which nobody sees: `raise_problems` comes before."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env: Final = env
        self._problems: Final[list[str]] = []
        self.environment: Final = self._environment()

    def raise_problems(self) -> None:
        if self._problems:
            raise ConfigError(self._problems)

    def _environment(self) -> Environment:
        match self._text("LIMENA_ENV"):
            case "development":
                return "development"
            case "production":
                return "production"
            case other:
                self._problems.append(f"LIMENA_ENV is {other!r}: it is production or development.")
                return "production"

    def dsn(self, name: str) -> str | None:
        """A libpq connection string or URI; None when it is not given."""
        dsn = self._secret(name)
        if dsn is None:
            return None
        try:
            password = conninfo_to_dict(dsn).get("password")
        except psycopg.ProgrammingError:  # its text may repeat the password
            self._problems.append(f"{name} is no PostgreSQL DSN such as {_example_dsn('limena_app')} .")
            return None
        if self.environment == "production" and password and len(str(password)) < MINIMUM_PASSWORD_LENGTH:
            self._problems.append(
                f"{name} holds a password of fewer than {MINIMUM_PASSWORD_LENGTH} characters, which production "
                "refuses; make one with: openssl rand -hex 24"
            )
        return dsn

    def required_dsn(self, name: str, role: str, *, who: str = "the API") -> str:
        if not self._is_given(name):
            self._problems.append(
                f"{name} is not set: it is the DSN with which {who} logs in as {role}, such as {_example_dsn(role)} ."
            )
        return self.dsn(name) or ""

    def base_url(self) -> str:
        url = self._text("LIMENA_BASE_URL")
        match = _ORIGIN.fullmatch(url)
        if match is None:
            self._problems.append(
                f"LIMENA_BASE_URL is {url!r}: it is the address at which clients reach the API, such as "
                "https://limena.example.com , in small letters and with nothing behind the host or port."
            )
        elif match[1] == "http" and self.environment == "production":
            self._problems.append(f"LIMENA_BASE_URL is {url!r}: production needs https.")
        return url

    def jwt_keys(self) -> tuple[str, ...]:
        keys: dict[str, str] = {}
        for name in ("LIMENA_JWT_KEY", "LIMENA_JWT_PREVIOUS_KEY", "LIMENA_JWT_NEXT_KEY"):
            pem = self._secret(name)
            if pem is None:
                continue
            try:
                kid = SigningKey.from_pem(pem).kid
            except KeyStrengthError as error:
                self._problems.append(f"{name} {error}; make one with: {_HOW_TO_MAKE_A_KEY}")
                continue
            if kid in keys:
                self._problems.append(f"{name} is the same key as another one: {_WHICH_KEY[name]}")
            keys[kid] = pem
        if not self._is_given("LIMENA_JWT_KEY"):
            self._problems.append(
                f"LIMENA_JWT_KEY is not set: it is the RSA key that signs tokens; make one with: {_HOW_TO_MAKE_A_KEY}"
            )
        return tuple(keys.values())

    def secret_key(self) -> bytes:
        text = self._secret("LIMENA_SECRET_KEY")
        if text is None:
            if not self._is_given("LIMENA_SECRET_KEY"):
                self._problems.append(
                    "LIMENA_SECRET_KEY is not set: CSRF tokens, links in mails and refresh tokens are made with it; "
                    f"make one with: {_HOW_TO_MAKE_A_SECRET}"
                )
            return b""
        try:
            key = base64.b64decode(text, validate=True)
        except ValueError:
            key = b""
        if len(key) < MINIMUM_SECRET_KEY_BYTES or len(set(key)) < MINIMUM_SECRET_KEY_BYTES // 2:
            self._problems.append(
                f"LIMENA_SECRET_KEY is not the base64 of {MINIMUM_SECRET_KEY_BYTES} random bytes or more; "
                f"make one with: {_HOW_TO_MAKE_A_SECRET}"
            )
        return key

    def master_keys(self, *, is_required: bool = True) -> MasterKeySource | None:
        text = self._secret("LIMENA_MASTER_KEYS")
        if text is None:
            if is_required and not self._is_given("LIMENA_MASTER_KEYS"):
                self._problems.append(
                    "LIMENA_MASTER_KEYS is not set: credentials of third parties are encrypted with it; make one with: "
                    "limena master-key generate --out master-keys"
                )
            return None
        source = TextSource(text)
        try:
            source.load()
        except MasterKeyError as error:
            self._problems.append(f"LIMENA_MASTER_KEYS {error}")
        return source

    def oauth(self) -> dict[str, OAuthRegistration]:
        found: dict[str, OAuthRegistration] = {}
        for provider in PROVIDERS.values():
            if not isinstance(provider, OAuthProvider):
                continue
            prefix = f"LIMENA_{provider.name.upper()}"
            client_id = self._text(f"{prefix}_CLIENT_ID")
            secret = self._secret(f"{prefix}_CLIENT_SECRET")
            issuer = self._issuer(f"{prefix}_ISSUER") if provider.endpoints is None else None
            if not client_id:
                if secret or issuer:
                    self._problems.append(f"{prefix}_CLIENT_ID is not set, and other variables of its provider are.")
                continue
            if provider.endpoints is None and not self._text(f"{prefix}_ISSUER"):
                self._problems.append(
                    f"{prefix}_ISSUER is not set: it is where the provider's addresses are asked for."
                )
            tenant = self._text(f"{prefix}_TENANT") if f"{prefix}_TENANT" in _BY_NAME else None
            if tenant is not None and re.fullmatch(r"[A-Za-z0-9.-]{1,253}", tenant) is None:
                self._problems.append(f"{prefix}_TENANT is {tenant!r}: it is a name or an id.")
            scopes = " ".join(self._text(f"{prefix}_SCOPES").split()) or provider.scopes
            found[provider.name] = OAuthRegistration(client_id, secret, scopes, issuer, tenant)
        return found

    def _issuer(self, name: str) -> str | None:
        """OpenID Connect Discovery 1.0, section 3: a URL of scheme https, without query and fragment."""
        text = self._text(name)
        if not text:
            return None
        if re.fullmatch(r"https?://[!-~]+", text) is None or any(mark in text for mark in "?#@\\"):
            self._problems.append(f"{name} is {text!r}: it is a URL such as https://id.example.com .")
        elif self.environment == "production" and not text.startswith("https://"):
            self._problems.append(f"{name} is {text!r}: production needs https.")
        return text

    def outbound_allow(self) -> tuple[outbound.Network, ...]:
        none: tuple[outbound.Network, ...] = ()
        allowed = self._parsed("LIMENA_OUTBOUND_ALLOW", outbound.networks, none)
        if allowed and self.environment == "production":
            self._problems.append(
                "LIMENA_OUTBOUND_ALLOW is set, which production refuses: whoever sets a base URL would reach inside."
            )
        return allowed

    def registration(self) -> Registration:
        default = "closed" if self.environment == "production" else "open"
        match self._text("LIMENA_REGISTRATION") or default:
            case "open":
                return "open"
            case "verified":
                return "verified"
            case "closed":
                return "closed"
            case other:
                self._problems.append(f"LIMENA_REGISTRATION is {other!r}: it is open, verified or closed.")
                return "closed"

    def smtp_server(self) -> SmtpServer | None:
        if self.environment == "production" and not self._is_given("LIMENA_SMTP_URL"):
            self._problems.append(
                "LIMENA_SMTP_URL is not set: it is the server that takes the mails, such as "
                "smtp://USER:PASSWORD@smtp.example.com or smtps://USER:PASSWORD@smtp.example.com ."
            )
        return self._parsed("LIMENA_SMTP_URL", lambda text: SmtpServer.parse(text) if text else None, None)

    def mail_from(self) -> Address:
        """In development anything will do, as long as no mail leaves the machine."""
        if text := self._text("LIMENA_MAIL_FROM"):
            try:
                return parse_sender(text)
            except BadAddressError:
                self._problems.append(
                    f"LIMENA_MAIL_FROM is {text!r}: it is an address, or a name and an address such as "
                    "Limena <no-reply@example.com> ."
                )
        elif self.environment == "production" or self._is_given("LIMENA_SMTP_URL"):
            self._problems.append("LIMENA_MAIL_FROM is not set: it is the address that mails come from.")
        return _DEVELOPMENT_SENDER

    def bcrypt_cost(self) -> int:
        least = MINIMUM_PRODUCTION_BCRYPT_COST if self.environment == "production" else MINIMUM_BCRYPT_COST
        return self.whole_number("LIMENA_BCRYPT_COST", least, MAXIMUM_BCRYPT_COST)

    def front_door(self) -> FrontDoor:
        cert, key = self._path("LIMENA_TLS_CERT"), self._path("LIMENA_TLS_KEY")
        if (cert is None) != (key is None):
            self._problems.append("LIMENA_TLS_CERT and LIMENA_TLS_KEY belong together: set both of them, or none.")
        rate_limits = self._rate_limits()
        per_address = self.whole_number("LIMENA_MAX_CONNECTIONS_PER_ADDRESS", 1, 100_000)
        return FrontDoor(
            tls_cert=cert,
            tls_key=key,
            trusted_proxies=self._parsed("LIMENA_TRUSTED_PROXIES", front_door.networks, ()),
            proxy_header=self._parsed("LIMENA_PROXY_HEADER", front_door.proxy_header, "x-forwarded-for"),
            allowed_hosts=self._parsed("LIMENA_ALLOWED_HOSTS", front_door.hosts, ()),
            cors_origins=self._parsed("LIMENA_CORS_ORIGINS", front_door.origins, ()),
            rate_limits=rate_limits,
            rate_limit_storage=self._parsed("LIMENA_RATE_LIMIT_STORAGE", front_door.storage_url, front_door.MEMORY),
            header_timeout_seconds=self.number("LIMENA_HEADER_TIMEOUT_SECONDS", 0.1, 120),
            body_timeout_seconds=self.number("LIMENA_BODY_TIMEOUT_SECONDS", 0.1, 600),
            max_connections=self.whole_number("LIMENA_MAX_CONNECTIONS", 1, 100_000),
            max_connections_per_address=None if rate_limits is None else per_address,
            drain_seconds=self.number("LIMENA_DRAIN_SECONDS", 0, 120),
            metrics=self._parsed("LIMENA_METRICS", front_door.switch, True),
            metrics_token=self._parsed(
                "LIMENA_METRICS_TOKEN", lambda text: front_door.token(text) if text else None, None
            ),
            security_contact=self._parsed(
                "LIMENA_SECURITY_CONTACT", lambda text: front_door.contact(text, self._text("LIMENA_BASE_URL")), ""
            ),
        )

    def _rate_limits(self) -> dict[Budget, RateLimitItem] | None:
        budgets = {
            name: self._parsed(f"LIMENA_RATE_LIMIT_{name.upper().replace('-', '_')}", front_door.rate_limit, None)
            for name in BUDGETS
        }
        if self._parsed("LIMENA_RATE_LIMITS", front_door.switch, True):
            return {name: limit for name, limit in budgets.items() if limit is not None}
        if self.environment == "production":
            self._problems.append("LIMENA_RATE_LIMITS is off, which production refuses.")
        return None

    def _parsed(self, name: str, parse: Callable[[str], T], fallback: T) -> T:
        """What `parse` makes of the text; its ValueError completes a sentence that begins with the name."""
        text = (self._secret(name) or _BY_NAME[name].default or "") if _BY_NAME[name].is_secret else self._text(name)
        try:
            return parse(text)
        except ValueError as error:
            self._problems.append(f"{name} {error}")
            return fallback

    def _path(self, name: str) -> Path | None:
        return Path(text) if (text := self._text(name)) else None

    def whole_number(self, name: str, least: int, most: int) -> int:
        text = self._text(name)
        if re.fullmatch(r"[0-9]{1,9}", text) is None or not least <= int(text) <= most:
            self._problems.append(f"{name} is {text!r}: it is a whole number from {least} to {most}.")
            return least
        return int(text)

    def number(self, name: str, least: float, most: float) -> float:
        text = self._text(name)
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) is None or not least <= float(text) <= most:
            self._problems.append(f"{name} is {text!r}: it is a number from {least:g} to {most:g}.")
            return least
        return float(text)

    def _text(self, name: str) -> str:
        """The value, or the default of the table; an empty value counts as none."""
        return self._env.get(name) or _BY_NAME[name].default or ""

    def _is_given(self, name: str) -> bool:
        return bool(self._env.get(name) or self._env.get(f"{name}_FILE"))

    def _secret(self, name: str) -> str | None:
        """The value of NAME, or the content of the file that NAME_FILE names, without line ends behind it."""
        value, path = self._env.get(name), self._env.get(f"{name}_FILE")
        if value and path:
            self._problems.append(f"{name} and {name}_FILE are both set: set one of them.")
            return None
        if not path:
            return value or None
        try:
            text = read_secret_file(Path(path)).rstrip("\r\n")
        except SecretFileError as error:
            self._problems.append(f"{name}_FILE names {path}, which {error}.")
            return None
        if not text:
            self._problems.append(f"{name}_FILE names {path}, which is empty.")
            return None
        return text


class SecretFileError(Exception):
    """The rest of a sentence that starts with the file's name. Holds nothing of its content."""


def read_secret_file(path: Path) -> str:
    """The text of a regular file that not everyone on this machine may read. Raises `SecretFileError`.

    Mounted secrets are often made readable to all: mount them with mode 0400, or 0440 and a group (Kubernetes:
    `defaultMode: 0400`; Compose: `mode: 0400`)."""
    try:
        # O_NONBLOCK: a named pipe must not hang the start. The checks are made on what was opened, not on the name.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SecretFileError("is not a regular file")
            if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise SecretFileError(f"everyone on this machine may read or change; mend that with: chmod o-rw {path}")
            content = file.read(MAX_SECRET_FILE_BYTES + 1)
    except OSError as error:
        raise SecretFileError(f"cannot be read ({os.strerror(error.errno or 0)})") from None
    if len(content) > MAX_SECRET_FILE_BYTES:
        raise SecretFileError(f"is larger than {MAX_SECRET_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:  # its text repeats a byte of the secret
        raise SecretFileError("is not UTF-8 text") from None


def _example_dsn(role: str) -> str:
    return f"postgresql://{role}@db.example.com/limena?sslmode=verify-full&sslrootcert=system"
