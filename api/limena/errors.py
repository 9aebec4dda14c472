"""Errors: the codes that clients see, and the one table from SQLSTATE and constraint name to them.

An answer to an error is an RFC 9457 `application/problem+json` with a stable `code`. Refuses to let anything of the
database through but what its procedures raise on purpose: a permission's name (DETAIL of 42501 and LM001), a field's
name and a sentence (COLUMN and message of 22023), a sentence (message of LM002), seconds to wait (DETAIL of LM004).
`docs/errors.md` is the registry for readers; `test_openapi_errors.py` holds it, this module and the SQL to each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.errors import Diagnostic
from starlette.responses import Response

from limena.values import Json


@dataclass(frozen=True, slots=True)
class Code:
    status: int
    title: str
    detail: str
    """What a client reads when nothing more exact is known."""


CODES: Final[Mapping[str, Code]] = {
    "invalid_request": Code(400, "Invalid request", "The body is not a JSON object."),
    "unauthenticated": Code(401, "Not authenticated", "Show an access token or an API key: Authorization: Bearer …"),
    "token_expired": Code(401, "Token expired", "The access token has expired. Refresh it."),
    "session_revoked": Code(401, "Session ended", "The session has ended. Log in again."),
    "invalid_api_key": Code(401, "Invalid API key", "The API key is not valid."),
    "forbidden": Code(403, "Forbidden", "Your role or your key does not allow this."),
    "csrf_failed": Code(
        403,
        "CSRF check failed",
        "Send the cookie limena_csrf and its value in X-CSRF-Token. GET /api/v1/auth/csrf sets it.",
    ),
    "tenant_frozen": Code(403, "Tenant frozen", "The tenant is frozen: it can be read and not changed."),
    "ai_disabled": Code(403, "AI is switched off", "The tenant or the platform has switched AI off."),
    "not_found": Code(404, "Not found", "There is nothing here."),
    "method_not_allowed": Code(405, "Method not allowed", "This path does not have this method."),
    "request_timeout": Code(408, "Request timeout", "The request took too long to arrive."),
    "conflict": Code(409, "Conflict", "This contradicts what exists already."),
    "integration_failed": Code(
        409, "Integration failed", "The provider does not accept this connection, or no longer. Connect it again."
    ),
    "integration_unreadable": Code(
        409, "Credential unreadable", "What is stored for this provider cannot be opened. Connect it again."
    ),
    "payload_too_large": Code(413, "Body too large", "The body is larger than this server reads."),
    "uri_too_long": Code(414, "URI too long", "The path and the query string are longer than this server reads."),
    "unsupported_media_type": Code(415, "Unsupported media type", "The body must be application/json in UTF-8."),
    "validation_failed": Code(422, "Validation failed", "The request has a field that cannot be accepted."),
    "rate_limited": Code(429, "Too many requests", "That was too often. Retry-After says when to try again."),
    "ai_velocity_exceeded": Code(429, "AI is paused", "There were more AI calls within an hour than the limit allows."),
    "ai_ceiling_exceeded": Code(429, "AI ceiling reached", "The AI tokens of this month are used up or reserved."),
    "headers_too_large": Code(431, "Header fields too large", "The header is larger than this server reads."),
    "internal_error": Code(500, "Internal error", "This is our fault. The request id helps us to find out why."),
    "provider_unavailable": Code(
        503, "Provider unavailable", "The provider does not answer as it should. Try again soon."
    ),
    "unavailable": Code(503, "Unavailable", "The service cannot answer at the moment. Try again soon."),
}

SQLSTATES: Final[Mapping[str, str]] = {
    "28000": "unauthenticated",
    "42501": "forbidden",
    "P0002": "not_found",
    "23505": "conflict",
    "22": "validation_failed",
    "23502": "validation_failed",
    "23503": "validation_failed",
    "23514": "validation_failed",
    "40001": "unavailable",  # after three more attempts
    "40P01": "unavailable",  # after three more attempts
    "08": "unavailable",
    "25006": "unavailable",  # a standby, during a failover
    "53": "unavailable",
    "55P03": "unavailable",
    "57014": "unavailable",
    "57P": "unavailable",
    "LM001": "tenant_frozen",
    "LM002": "conflict",
    "LM003": "ai_disabled",
    "LM004": "rate_limited",
    "LM005": "internal_error",  # the API counts the call, and comes back
    "LM006": "unavailable",  # AI calls are counted ahead of the clock, which was wrong
    "25001": "internal_error",  # a connection with another isolation level: none of ours
    "42703": "internal_error",  # when an audit trigger is made
    "55000": "internal_error",  # when an audit trigger is made
}
"""An SQLSTATE or the beginning of one; the longest that fits counts. Anything else is `internal_error`."""

NOT_COUNTED: Final = "LM005"
"""What `enter_api_key` raises for a key that has a rate, when the call was not counted."""

RETRIED: Final = frozenset({"40001", "40P01"})

CONSTRAINTS: Final[Mapping[str, tuple[str, str]]] = {
    "api_keys_name_check": (
        "name",
        "must have 1 to 100 characters, no space at its ends and no control characters",
    ),
    "api_keys_scopes_check": ("scopes", "must name 1 to 100 permissions"),
    "api_keys_expires_at_check": ("expires_at", "must lie in the future"),
    "integrations_label_check": (
        "label",
        "must have 1 to 100 characters, no space at its ends and no control characters",
    ),
    "integrations_base_url_check": ("base_url", "must be a URL of at most 2048 visible ASCII characters"),
    "invitations_email_check": ("email", "must be an e-mail address"),
    "users_email_check": ("email", "must be an e-mail address"),
    "users_display_name_check": (
        "display_name",
        "must have 1 to 100 characters, no space at its ends and no control characters",
    ),
    "tenants_name_check": (
        "tenant_name",
        "must have 1 to 100 characters, no space at its ends and no control characters",
    ),
    "registrations_email_check": ("email", "must be an e-mail address"),
    "registrations_display_name_check": (
        "display_name",
        "must have 1 to 100 characters, no space at its ends and no control characters",
    ),
    "registrations_tenant_name_check": (
        "tenant_name",
        "must have 1 to 100 characters, no space at its ends and no control characters",
    ),
}
"""Constraint → the field that broke it, and how."""

RETRY_AFTER_SECONDS: Final = 2
MAX_FIELD_ERRORS: Final = 20
_PERMISSION: Final = re.compile(r"[a-z_]{1,60}:[a-z_]{1,60}")


@dataclass(frozen=True, slots=True)
class FieldError:
    field: str
    """As the client wrote it: an unknown field's name may be anything."""
    message: str
    """Completes "The field …"."""

    def as_json(self) -> dict[str, Json]:
        return {"field": self.field[:100], "message": self.message}


class Problem(Exception):
    """An answer that is an error. Everything in it may be seen by the client."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        permission: str | None = None,
        headers: Mapping[str, str] | None = None,
        extension: Mapping[str, Json] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.status = CODES[code].status
        self.detail = detail or CODES[code].detail
        self.errors = tuple(errors)
        self.permission = permission
        self.headers = dict(headers or {})
        self.extension = dict(extension or {})
        """Members of the document that this kind of problem has besides (RFC 9457 section 3.2)."""
        if self.status == 401:
            # RFC 6750 section 3: no error code when no credential was shown.
            shown = "" if code == "unauthenticated" else ', error="invalid_token"'
            self.headers.setdefault("WWW-Authenticate", f'Bearer realm="limena"{shown}')
        if self.status == 503:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))

    @classmethod
    def of_field(cls, name: str, message: str) -> Problem:
        return cls("validation_failed", errors=[FieldError(name, message)])

    @classmethod
    def of_refusal(cls, refused: Mapping[str, Any]) -> Problem:
        """What a procedure refused with a result, because what the refusal left behind had to be committed."""
        headers = {"Retry-After": str(refused["retry_after"])}
        extension = {"notice": refused["notice"]} if refused["notice"] else {}
        return cls(refused["code"], refused["detail"], headers=headers, extension=extension)

    def as_json(self, *, request_id: str, base_url: str) -> dict[str, Json]:
        document: dict[str, Json] = {
            "type": f"{base_url}/docs#{self.code}",
            "title": CODES[self.code].title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.permission is not None:
            document["permission"] = self.permission
        document |= self.extension
        if self.errors:
            document["errors"] = [error.as_json() for error in self.errors[:MAX_FIELD_ERRORS]]
        return document

    def response(self, *, request_id: str, base_url: str) -> Response:
        # ASCII: an unknown field's name may hold half of a surrogate pair, which UTF-8 cannot say.
        content = json.dumps(self.as_json(request_id=request_id, base_url=base_url), ensure_ascii=True).encode("ascii")
        return Response(content, self.status, headers=self.headers, media_type="application/problem+json")


class SqlError(Exception):
    """What PostgreSQL answered instead of a result. Its message, statement and values are left behind on purpose: this
    exception may be logged."""

    def __init__(
        self,
        sqlstate: str,
        *,
        permission: str | None,
        field: str | None,
        message: str | None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate
        self.permission = permission
        """The permission that was missing, or withheld (42501 and LM001 raised by `limena.require`)."""
        self.field = field
        self.message = message
        """A sentence for the client, in the words of our procedure or of `CONSTRAINTS`."""
        self.retry_after = retry_after
        """Seconds to wait, as the header Retry-After has them (LM004)."""

    @classmethod
    def from_diagnostic(cls, diagnostic: Diagnostic) -> SqlError:
        sqlstate = diagnostic.sqlstate or "08006"  # none: libpq lost the connection
        permission = field = message = retry_after = None
        if sqlstate in ("42501", "LM001") and _PERMISSION.fullmatch(diagnostic.message_detail or ""):
            permission = diagnostic.message_detail
        elif sqlstate == "LM002":
            message = diagnostic.message_primary
        elif sqlstate == "LM004" and re.fullmatch("[0-9]{1,6}", diagnostic.message_detail or ""):
            retry_after = diagnostic.message_detail
        elif sqlstate.startswith("22") and diagnostic.column_name:
            field, message = diagnostic.column_name, diagnostic.message_primary
        elif sqlstate.startswith("23"):
            field, message = CONSTRAINTS.get(diagnostic.constraint_name or "", (None, None))
        return cls(sqlstate, permission=permission, field=field, message=message, retry_after=retry_after)

    @property
    def code(self) -> str:
        for length in (5, 3, 2):
            if code := SQLSTATES.get(self.sqlstate[:length]):
                return code
        return "internal_error"

    def problem(self) -> Problem:
        """The answer that a client gets."""
        if self.permission is not None:
            detail = None if self.code == "tenant_frozen" else f"This needs the permission {self.permission}."
            return Problem(self.code, detail, permission=self.permission)
        if self.sqlstate == "LM002":
            return Problem(self.code, self.message)
        if self.retry_after is not None:
            return Problem(self.code, headers={"Retry-After": self.retry_after})
        errors = [FieldError(self.field, self.message)] if self.field and self.message else []
        return Problem(self.code, errors=errors)
