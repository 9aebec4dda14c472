"""The shapes of answers, as JSON Schema 2020-12, and what the documentation says about fields.

PostgreSQL writes the answers, so nothing here shapes them: the tests call every route and hold what comes back to
these. Refuses to be loose: no additional properties, every property required.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from limena.errors import CODES
from limena.values import Json

ROLES: Final = ("owner", "admin", "member", "viewer")
PERMISSION_PATTERN: Final = "^[a-z][a-z_]*:[a-z][a-z_]*$"

_ID: Final[Json] = {"type": "string", "format": "uuid"}
_TIME_OF: Final[dict[str, Json]] = {"type": "string", "format": "date-time"}
_TIME: Final[Json] = _TIME_OF
_TEXT: Final[Json] = {"type": "string"}
_PERMISSION: Final[Json] = {"type": "string", "pattern": PERMISSION_PATTERN}
_STATE: Final[Json] = {
    "type": "string",
    "enum": ["active", "frozen", "deleting"],
    "description": "A frozen tenant can be read and not changed; so can one that is deleted, until it is erased.",
}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: Mapping[str, Json], description: str = "") -> dict[str, Json]:
    schema: dict[str, Json] = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
    return schema | {"description": description} if description else schema


def _list_of(name: str) -> dict[str, Json]:
    return _object(
        {
            "items": {"type": "array", "items": _ref(name)},
            "next": _or_null({"type": "string", "description": "Give it as `after` for the next page."}),
        },
        "A page, newest first. `next` is null on the last one.",
    )


_API_KEY: Final[dict[str, Json]] = {
    "id": _ID,
    "name": _TEXT,
    "prefix": {"type": "string", "pattern": "^lmn_[0-9A-Za-z]{6}$"},
    "last_four": {"type": "string", "pattern": "^[0-9A-Za-z]{4}$"},
    "scopes": {"type": "array", "items": _PERMISSION},
    "created_by": _or_null(_ID),
    "created_at": _TIME,
    "expires_at": _or_null(_TIME),
    "calls_per_minute": _or_null({"type": "integer", "description": "In any 60 seconds never more."}),
    "retires_at": _or_null({**_TIME_OF, "description": "The end of the grace, once it was rotated."}),
    "last_used_at": _or_null(_TIME),
    "revoked_at": _or_null(_TIME),
}

_ACCESS_TOKEN: Final[dict[str, Json]] = {
    "access_token": _TEXT,
    "token_type": {"const": "Bearer"},
    "expires_in": {"type": "integer", "description": "Seconds."},
}

_INTEGRATION: Final[dict[str, Json]] = {
    "id": _ID,
    "provider": _TEXT,
    "state": {
        "type": "string",
        "enum": ["connected", "failed", "unreadable"],
        "description": "failed: the provider refuses it; unreadable: what is stored does not open.",
    },
    "label": _or_null(_TEXT),
    "base_url": _or_null(_TEXT),
    "scopes": _or_null({"type": "string", "description": "As OAuth 2 writes them, separated by spaces."}),
    "connected_by": _or_null(_ID),
    "connected_at": _TIME,
    "failed_at": _or_null(_TIME),
    "expires_at": _or_null({"type": "string", "format": "date-time", "description": "Of the access token."}),
}

_ME: Final[dict[str, Json]] = {
    "tenant": _or_null(_ref("Tenant")),
    "role": _or_null({"type": "string", "enum": list(ROLES)}),
    "permissions": {"type": "array", "items": _PERMISSION},
    "notices": {"type": "array", "items": _ref("Notice")},
}

_COUNT: Final[Json] = {"type": "integer", "minimum": 0}

_TRIP: Final[Json] = _object(
    {
        "cause": {"type": "string", "enum": ["velocity", "ceiling"]},
        "tripped_at": _TIME,
        "ends_at": _TIME,
    },
    "Why AI is paused, and until when.",
)

_DAYS: Final[Json] = {
    "type": "array",
    "items": _object({"day": {"type": "string", "format": "date"}, "calls": _COUNT, "tokens": _COUNT}),
}

SCHEMAS: Final[Mapping[str, dict[str, Json]]] = {
    "Accepted": _object({"status": {"const": "accepted"}}, "What follows, follows by mail, if anything does."),
    "AccessToken": _object(_ACCESS_TOKEN, "For the Authorization header."),
    "AiQuota": _object(
        {
            "state": {"type": "string", "enum": ["active", "tripped", "disabled"]},
            "calls": _object(
                {
                    "limit": _COUNT,
                    "used": _COUNT,
                    "remaining": _COUNT,
                    "resets_at": _or_null(_TIME),
                },
                "Of the last hour. When all of them are free again without further calls; while AI is paused for "
                "velocity, when the pause ends.",
            ),
            "tokens": _object(
                {
                    "limit": _COUNT,
                    "used": _COUNT,
                    "reserved": _COUNT,
                    "remaining": _COUNT,
                    "resets_at": _TIME,
                },
                "Of the month (UTC).",
            ),
            "trip": _or_null(_TRIP),
            "settings": _object(
                {
                    "is_enabled": {"type": "boolean", "description": "The tenant's own switch."},
                    "is_allowed": {"type": "boolean", "description": "The platform's switch."},
                    "max_calls_per_hour": {"type": "integer", "description": "The platform's limit."},
                    "max_tokens_per_month": {"type": "integer", "description": "The platform's limit."},
                }
            ),
            "notices": {"type": "array", "items": _ref("Notice")},
        },
        "What AI calls a tenant may make. The limits are the platform's, or the owner's where they are lower.",
    ),
    "AiReservation": _object(
        {
            "id": _ID,
            "state": {"type": "string", "const": "live"},
            "expires_at": _TIME,
            "remaining_tokens": _COUNT,
            "remaining_calls": _COUNT,
        },
        "Leave to make one AI call. Settle or release it before it expires.",
    ),
    "AiSettlement": _object(
        {
            "id": _ID,
            "outcome": {"type": "string", "enum": ["succeeded", "failed"]},
            "prompt_tokens": _COUNT,
            "completion_tokens": _COUNT,
            "remaining_tokens": _COUNT,
            "remaining_calls": _COUNT,
        },
        "What a call took, and what is left.",
    ),
    "AiUsage": _object(
        {
            "key": {
                "type": "string",
                "description": "The day, the model's name, or the id of the user or API key. (other): too many models.",
            },
            "calls": {"type": "integer", "description": "All that were reserved and are closed."},
            "failed_calls": {"type": "integer", "description": "Those among them that were settled as failed."},
            "unfinished_calls": {"type": "integer", "description": "Those that were released, or never settled."},
            "prompt_tokens": _COUNT,
            "completion_tokens": _COUNT,
            "average_latency_ms": _or_null(_COUNT),
        }
    ),
    "AiUsageList": _list_of("AiUsage"),
    "ApiKey": _object(
        _API_KEY, "An API key as it is stored. The key itself is shown when it is created, and never again."
    ),
    "ApiKeyList": _list_of("ApiKey"),
    "AuditRow": _object(
        {
            "id": _ID,
            "occurred_at": _TIME,
            "action": _TEXT,
            "actor_type": {"type": "string", "enum": ["user", "api_key", "operator", "system"]},
            "actor_id": _or_null(_ID),
            "actor_label": _or_null(_TEXT),
            "on_behalf_of_id": _or_null(_ID),
            "on_behalf_of_label": _or_null(_TEXT),
            "entity_type": _or_null(_TEXT),
            "entity_id": _or_null(_TEXT),
            "changes": _or_null(
                {
                    "type": "object",
                    "description": "Column → old and new value.",
                    "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2},
                }
            ),
            "details": _or_null({"type": "object", "description": "Reasons, and what changes no column."}),
            "request_id": _or_null(_TEXT),
            "ip": _or_null(_TEXT),
            "user_agent": _or_null(_TEXT),
        },
        "What happened, who did it, and from where.",
    ),
    "AuditRowList": _list_of("AuditRow"),
    "AuditVerification": _object(
        {
            "intact": {"type": "boolean", "description": "Nothing was found among these seals."},
            "findings": {
                "type": "array",
                "items": _object(
                    {
                        "kind": {
                            "type": "string",
                            "enum": [
                                "seal missing",
                                "seal altered",
                                "row missing",
                                "row altered",
                                "row added",
                                "removed unrecorded",
                            ],
                        },
                        "row_id": _or_null(_ID),
                        "occurred_at": _or_null(_TIME),
                        "detail": _TEXT,
                    }
                ),
            },
            "checked_seals": {"type": "integer"},
            "checked_rows": {"type": "integer"},
            "sealed_until": _or_null({**_TIME_OF, "description": "Later rows are not sealed yet."}),
            "next": _or_null({"type": "string", "description": "Give it as `after` for the next seals."}),
        },
        "Whether the rows of the log are those that were sealed.",
    ),
    "CsrfToken": _object({"csrf_token": {"type": "string", "description": "For the header X-CSRF-Token."}}),
    "Authorization": _object({"authorization_url": {"type": "string", "description": "Where to send the browser."}}),
    "Integration": _object(_INTEGRATION, "A connected third party. No secret of it is ever shown."),
    "IntegrationList": _object(
        {
            "items": {"type": "array", "items": _ref("Integration")},
            "next": {"type": "null", "description": "All of them are here."},
            "providers": {
                "type": "array",
                "items": _object(
                    {
                        "provider": _TEXT,
                        "title": _TEXT,
                        "kind": {"type": "string", "enum": ["api_key", "oauth"]},
                        "takes_base_url": {"type": "boolean", "description": "Whether `base_url` has to be given."},
                        "is_available": {"type": "boolean", "description": "Whether this server can connect it."},
                    }
                ),
                "description": "What can be connected.",
            },
        },
        "The connected integrations, newest first.",
    ),
    "IntegrationToken": _object(
        {
            "access_token": {"type": "string", "description": "For the provider, not for this API."},
            "token_type": {"const": "Bearer"},
            "expires_in": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "Seconds; null: unknown."},
            "expires_at": _or_null(_TIME),
        },
        "An access token of a connected provider.",
    ),
    "Invitation": _object(
        {
            "id": _ID,
            "email": _TEXT,
            "role": {"type": "string", "enum": list(ROLES)},
            "invited_by": _ID,
            "created_at": _TIME,
            "expires_at": _TIME,
        },
        "An invitation that was not accepted yet.",
    ),
    "InvitationList": _list_of("Invitation"),
    "KeySet": _object(
        {
            "keys": {
                "type": "array",
                "items": _object(
                    {
                        "kty": {"const": "RSA"},
                        "use": {"const": "sig"},
                        "alg": {"const": "RS256"},
                        "kid": _TEXT,
                        "n": _TEXT,
                        "e": _TEXT,
                    }
                ),
            }
        }
    ),
    "Liveness": _object({"status": {"const": "alive"}}),
    "Link": _object(
        {"email": _or_null(_TEXT)},
        "Where a link was sent; null when it was used, is too old, or never was one.",
    ),
    "LogIn": _object(
        {
            "user": _ref("User"),
            "tenant": _or_null(_ref("Tenant")),
            **_ACCESS_TOKEN,
        }
    ),
    "Me": {
        "oneOf": [
            _object({"user": _ref("User"), "is_platform_admin": {"type": "boolean"}, **_ME}, "A person."),
            _object({"api_key": _object({"id": _ID, "name": _TEXT, "prefix": _TEXT}), **_ME}, "An API key."),
        ]
    },
    "Member": _object(
        {
            "user_id": _ID,
            "email": _TEXT,
            "display_name": _TEXT,
            "role": {"type": "string", "enum": list(ROLES)},
            "created_at": _TIME,
        }
    ),
    "MemberList": _list_of("Member"),
    "MemberRole": _object({"user_id": _ID, "role": {"type": "string", "enum": list(ROLES)}}),
    "MyTenant": _object(
        {
            "id": _ID,
            "name": _TEXT,
            "state": _TEXT,
            "role": {"type": "string", "enum": list(ROLES)},
            "joined_at": _TIME,
        },
        "A tenant that one is a member of.",
    ),
    "MyTenantList": _list_of("MyTenant"),
    "NewApiKey": _object(
        {**_API_KEY, "key": {"type": "string", "description": "The key. Store it now: it is shown this once."}}
    ),
    "Notice": _object(
        {
            "code": _TEXT,
            "severity": _TEXT,
            "title": _TEXT,
            "detail": _TEXT,
            "until": _or_null(_TIME),
            "action": _or_null(_TEXT),
        },
        "What a banner shows.",
    ),
    "Permission": _object(
        {
            "name": _PERMISSION,
            "description": _TEXT,
            "works_when_frozen": {"type": "boolean", "description": "Whether a frozen tenant keeps it."},
            "roles": {"type": "array", "items": {"type": "string", "enum": list(ROLES)}},
        },
        "A permission, which is also a scope of API keys. None implies another.",
    ),
    "PermissionList": _list_of("Permission"),
    "OpenApi": {"type": "object", "required": ["openapi", "info", "paths"]},
    "Problem": {
        **_object(
            {
                "type": {"type": "string", "format": "uri", "description": "Where the code is explained."},
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "code": {"type": "string", "enum": list(CODES)},
                "request_id": {"type": "string", "description": "Quote it when you report the problem."},
            },
            "An error, as in RFC 9457.",
        ),
        "additionalProperties": True,
    },
    "Readiness": _object({"status": {"const": "ready"}}),
    "Revoked": _object({"revoked": {"type": "integer", "description": "How many keys were revoked."}}),
    "RotatedApiKey": _object(
        {
            **_API_KEY,
            "key": {"type": "string", "description": "The new key. Store it now: it is shown this once."},
            "replaces": _object({"id": _ID, "retires_at": _TIME}, "The key before, and when it ends."),
        }
    ),
    "Session": _object(
        {
            "id": _ID,
            "user_agent": _or_null(_TEXT),
            "ip": _or_null(_TEXT),
            "created_at": _TIME,
            "last_seen_at": _TIME,
            "expires_at": _TIME,
            "current": {"type": "boolean", "description": "Whether it is the one that asks."},
        },
        "A log-in that has not ended.",
    ),
    "SessionList": _list_of("Session"),
    "Tenant": _object({"id": _ID, "name": _TEXT, "state": _STATE}),
    "TenantDetails": _object(
        {
            "id": _ID,
            "name": _TEXT,
            "state": _STATE,
            "created_at": _TIME,
            "deletion_due_at": _or_null({**_TIME_OF, "description": "When a deleted tenant is erased."}),
            "audit_retention_days": {"type": "integer", "description": "How long the audit log is kept at least."},
        }
    ),
    "TenantUsage": _object(
        {
            "tenant": _ref("Tenant"),
            "calls": _object({"limit": _COUNT, "used": _COUNT}, "Of the last hour."),
            "tokens": _object(
                {"limit": _COUNT, "used": _COUNT, "reserved": _COUNT, "percent": {"type": "number"}},
                "Of the month (UTC).",
            ),
            "trip": _or_null(_TRIP),
            "is_enabled": {"type": "boolean", "description": "The tenant's own switch."},
            "is_allowed": {"type": "boolean", "description": "The platform's switch."},
            "days": _DAYS,
            "acts": {
                "type": "array",
                "items": _object(
                    {"occurred_at": _TIME, "actor_label": _or_null(_TEXT), "action": _TEXT, "reason": _TEXT}
                ),
                "description": "What platform admins did last: three of the last 90 days.",
            },
        }
    ),
    "TenantUsageList": _object(
        {
            "items": {"type": "array", "items": _ref("TenantUsage")},
            "next": _or_null({"type": "string", "description": "Give it as `after` for the next page."}),
            "days": _or_null(_DAYS),
        },
        "A page of tenants; with `trend` the last 30 days of all of them together.",
    ),
    "User": _object({"id": _ID, "email": _TEXT, "display_name": _TEXT}),
}

FIELDS: Final[Mapping[str, Mapping[str, Json]]] = {
    "model": {
        "description": "The model's name.",
        "minLength": 1,
        "maxLength": 100,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$",
    },
    "estimated_tokens": {
        "description": "What the call may take at most: prompt and completion.",
        "minimum": 1,
        "maximum": 10_000_000,
    },
    "idempotency_key": {
        "description": "A retry with the same key gets the same reservation. Yours alone, and good for a week.",
        "minLength": 1,
        "maxLength": 255,
    },
    "prompt_tokens": {"minimum": 0},
    "completion_tokens": {"minimum": 0},
    "latency_ms": {"description": "Milliseconds.", "minimum": 0},
    "outcome": {"description": "Without it: succeeded.", "enum": ["succeeded", "failed", None]},
    "is_enabled": {"description": "The tenant's own switch."},
    "calls_per_hour": {"description": "At most the platform's limit, which means none of one's own.", "minimum": 1},
    "tokens_per_month": {"description": "At most the platform's limit, which means none of one's own.", "minimum": 1},
    "reason": {"description": "Why, for the logs.", "minLength": 1, "maxLength": 500},
    "sort": {
        "description": "By what. Without it: tokens.",
        "enum": ["tokens", "percent", "calls", "created"],
    },
    "trend": {"description": "Whether to add up the last 30 days of all tenants together. Without it: no."},
    "by": {"description": "What to add up by. Without it: day.", "enum": ["day", "model", "user", "api_key"]},
    "limit": {"description": "How many items a page has at most.", "minimum": 1, "maximum": 200},
    "after": {"description": "The `next` of the page before."},
    "action": {"description": "Only rows of this action.", "examples": ["api_key.created"]},
    "actor_id": {"description": "Only what this user or key did."},
    "entity_type": {"description": "Only what happened to this kind of thing.", "examples": ["api_key"]},
    "entity_id": {"description": "Only what happened to this thing."},
    "from": {"description": "Only what happened at this time or later."},
    "to": {"description": "Only what happened before this time."},
    "name": {"description": "What people call it.", "minLength": 1, "maxLength": 100},
    "scopes": {
        "description": "Permissions. The caller must hold each one.",
        "items": _PERMISSION,
        "minItems": 1,
        "uniqueItems": True,
    },
    "calls_per_minute": {
        "description": "In any 60 seconds the key is never used more often. Without it there is no limit.",
        "minimum": 1,
        "maximum": 100000,
    },
    "grace_seconds": {
        "description": "How long the old key works on.",
        "minimum": 0,
        "maximum": 2592000,
    },
    "role": {"enum": list(ROLES), "description": "Who gives a role must hold each permission that comes with it."},
    "user_id": {"description": "A member of the tenant."},
    "api_keys": {
        "description": "What becomes of the keys that they made: revoke (the default), or transfer, to an owner.",
        "enum": ["revoke", "transfer"],
    },
    "audit_retention_days": {
        "description": "How many days the audit log is kept at least. The owner's to say; fewer count after 30 days.",
        "minimum": 30,
        "maximum": 3650,
    },
    "expires_at": {"description": "A time in the future. Without it the key does not expire."},
    "email": {"format": "email"},
    "password": {"format": "password"},
    "current_password": {"format": "password"},
    "new_password": {"format": "password", "description": "12 to 256 characters that are not easy to guess."},
    "token": {"description": "From the link in the mail."},
    "display_name": {"description": "How others see the person.", "minLength": 1, "maxLength": 100},
    "tenant_name": {"description": "What the new tenant is called.", "minLength": 1, "maxLength": 100},
    "secret": {"format": "password", "description": "The provider's API key. It is encrypted, and never shown again."},
    "label": {"description": "What people call it.", "minLength": 1, "maxLength": 100},
    "base_url": {"format": "uri", "description": "Of a provider whose address the tenant chooses; public, https."},
    "code": {"description": "From the provider's redirect."},
    "state": {"description": "From the provider's redirect."},
    "error": {"description": "From the provider's redirect, when there is no code."},
    "iss": {"description": "From the provider's redirect, if it is there (RFC 9207)."},
    "tenant_id": {"description": "In which of the person's tenants to act."},
}
"""What is said about a request's field beyond its type. PostgreSQL enforces it."""
