"""What support/sweep.py calls functions with, and what each function is for that would be a finding of any other.

Written by hand, and held to pg_proc: a parameter without a default that is not in `CALLED_WITH`, a type that is not in
`HOSTILE`, and a line here that nothing needs any more fail the test.
"""

ADMINISTRATOR = "tests.session_hash('platform', 'owner')"

# Arguments of tenant a, as SQL, by the parameter's name or by function and parameter. What is not here has its default.
CALLED_WITH = {
    "p_action": "'freeze'",
    "p_as_of": "now()",
    "p_call_id": "gen_random_uuid()",
    "p_calls": "array_fill(1, array[61])",
    "p_cause": "'velocity'",
    "p_code_verifier": "tests.ciphertext('verifier')",
    "p_completion_tokens": "1",
    "p_cursor": "'1_abc'",
    "p_days": "365",
    "p_disconnected_at": (
        "(select disconnected_at from limena.integrations where id = tests.integration_id('a', 'google'))"
    ),
    "p_display_name": "'Nova'",
    "p_email": "'nova@a.example'",
    "p_ends_at": "now()",
    "p_estimated_tokens": "100",
    "p_fields": "array['access_token']",
    "p_flow_id": "gen_random_uuid()",
    "p_grace_seconds": "60",
    "p_integration_id": "tests.integration_id('a', 'oidc')",
    "p_is_delivered": "true",
    "p_key": "'abc'",
    "p_key_hash": "tests.digest('new key')",
    "p_key_version": "1",
    "p_last_four": "'abcd'",
    "p_latency_ms": "1",
    "p_lease": "(select refresh_leased_until from limena.integrations where id = tests.integration_id('a', 'oidc'))",
    "p_limit": "10",
    "p_model": "'model'",
    "p_name": "'Name'",
    "p_new": "array[tests.ciphertext('new')]",
    "p_new_hash": "tests.bcrypt('new')",
    "p_new_version": "2",
    "p_now": "now()",
    "p_old": "array[tests.ciphertext('a oidc access_token')]",
    "p_old_hash": "tests.bcrypt('owner@a.example')",
    "p_old_version": "1",
    "p_outbox_id": "gen_random_uuid()",
    "p_password_hash": "tests.bcrypt('new')",
    "p_pattern": "'^[a-z]+$'",
    "p_permission": "'integrations:read'",
    "p_permissions": "array['members:read']",
    "p_prefix": "'lmn_abcdef'",
    "p_prompt_tokens": "1",
    "p_provider": "'anthropic'",
    "p_reason": "'because'",
    "p_refresh_hash": "tests.digest('new refresh token')",
    "p_replaced_by": "tests.api_key_id('a', 'rated')",
    "p_revocation": "'done'",
    "p_role": "'viewer'",
    "p_route": "'GET /x'",
    "p_scopes": "array['ai:use']",
    "p_secret_hash": "tests.session_hash('a', 'owner')",
    "p_session_hash": ADMINISTRATOR,
    "p_state_hash": "tests.digest('a state')",
    "p_successor_hash": "tests.digest('new refresh token')",
    "p_tenant_id": "tests.tenant_id('a')",
    "p_tenant_ids": "array[tests.tenant_id('a')]",
    "p_tenant_name": "'New'",
    "p_text": "'text'",
    "p_ticket": "current_setting('sweep.ticket')",
    "p_time": "now()",
    "p_token_hash": "tests.digest('new token')",
    "p_user_id": "tests.user_id('both', 'member')",
    "accept_invitation.p_display_name": "'Nova'",
    "accept_invitation.p_password_hash": "tests.bcrypt('new')",
    "accept_invitation.p_token_hash": "tests.digest('a invitation')",
    "administer_tenant.p_secret_hash": ADMINISTRATOR,
    "begin_log_in.p_email": "'owner@a.example'",
    "connect_integration.p_integration_id": "tests.integration_id('a')",
    "connect_integration.p_secret": "tests.ciphertext('secret')",
    "begin_integration_flow.p_state_hash": "tests.digest('new state')",
    "count_api_key_call.p_key_hash": "tests.key_hash('a', 'rated')",
    "delete_tenant.p_name": "'markera Inc'",
    "end_session.p_id": "tests.id('session', 'a other')",
    "enter_api_key.p_key_hash": "tests.key_hash('a')",
    "find_invitation.p_token_hash": "tests.digest('a invitation')",
    "find_password_reset.p_token_hash": "tests.digest('a reset')",
    "find_people.p_ids": "array[tests.user_id('a', 'member')]",
    "find_registration.p_token_hash": "tests.digest('a registration')",
    "holds.p_user_id": "tests.user_id('a', 'owner')",
    "log_in.p_password_hash": "tests.bcrypt('owner@a.example')",
    "log_in.p_secret_hash": "tests.digest('new session')",
    "log_in.p_user_id": "tests.user_id('a', 'owner')",
    "mail_invitation.p_id": "tests.id('invitation', 'a')",
    "record_denial.p_permission": "'audit:read'",
    "record_failed_log_in.p_email": "'owner@a.example'",
    "record_integration_failure.p_reason": "'denied'",
    "record_revocation.p_integration_id": "tests.integration_id('a', 'google')",
    "refresh_session.p_token_hash": "tests.digest('a refresh token')",
    "rehash_password.p_user_id": "tests.user_id('a', 'owner')",
    "release_ai_call.p_id": "tests.id('reservation', 'a')",
    "request_password_reset.p_email": "'owner@a.example'",
    "reseal_credentials.p_ids": "array[tests.integration_id('a', 'oidc')]",
    # Those of a call that a's member has reserved.
    "reserve_ai_call.p_estimated_tokens": (
        "(select estimated_tokens from limena.ai_reservations where id = tests.id('reservation', 'a'))"
    ),
    "reserve_ai_call.p_idempotency_key": "'markera-live'",
    "reserve_ai_call.p_model": "'markera-model'",
    "reset_password.p_token_hash": "tests.digest('a reset')",
    "retire_api_key.p_id": "tests.api_key_id('a')",
    "revoke_api_key.p_id": "tests.api_key_id('a')",
    "rotate_api_key.p_id": "tests.api_key_id('a')",
    "settle_ai_call.p_id": "tests.id('reservation', 'a')",
    "settle_mail.p_id": "tests.id('mail', 'a')",
    "settle_refresh.p_access_token": "tests.ciphertext('new')",
    "settle_refresh.p_key_version": "1",
    "take_back_log_in.p_email": "'owner@a.example'",
    "take_integration_flow.p_provider": "'markera-flow'",
    "update_ai_settings.p_is_enabled": "false",
    "update_tenant.p_name": "'Name'",
    "verify_registration.p_new_hash": "tests.bcrypt('new')",
    "verify_registration.p_token_hash": "tests.digest('a registration')",
    "withdraw_invitation.p_id": "tests.id('invitation', 'a')",
}

# What a caller puts where something else belongs. A value that its type does not take, on this version, is left out.
_TEXTS = (
    "",
    " ",
    "%",
    "'",
    '"',
    "\\",
    "\0",
    "\\u0000",
    "$x$",
    "=cmd|' /C calc'!A0",
    "null",
    "{}",
    '{"a":',
    "(" * 1000,
    "0_" + "9" * 1000,
    "9999999999999999_9999999999999999999",
    "../../x",
    "\u202e\u200b",
    "\U0001f600",
    "é" * 500_000,
)
_NUMBERS = ("0", "-1", "2147483647", "-2147483648")
HOSTILE: dict[str, tuple[str, ...]] = {
    "text": _TEXTS,
    "bytea": ("\\x", "\\x00", "\\x" + "00" * 32, "\\x" + "ff" * 1_000_000),
    "uuid": ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "integer": _NUMBERS,
    "bigint": (*_NUMBERS, "9223372036854775807", "-9223372036854775808"),
    "numeric": (*_NUMBERS, "NaN", "Infinity", "1e1000"),
    "double precision": (*_NUMBERS, "NaN", "Infinity", "-Infinity", "1e-300"),
    "boolean": ("true", "false"),
    "timestamp with time zone": ("infinity", "-infinity", "4713-01-01 BC", "294276-12-31", "epoch"),
    "date": ("infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"),
    "interval": ("0", "-1 day", "infinity", "-infinity", "178000000 years", "2147483647 days", "1 microsecond"),
    "inet": ("0.0.0.0/0", "::/0", "255.255.255.255", "::ffff:192.0.2.1/96"),
    "jsonb": ("null", "[]", "{}", '""', "0", '"\\u0000"', "[" * 5000 + "]" * 5000),
    "text[]": ("{}", "{NULL}", '{""}', "{a,NULL}", "{{a},{b}}", "[5:6]={a,b}", "{" + ",".join(["x"] * 100_000) + "}"),
    "uuid[]": ("{}", "{NULL}", "{" + ",".join(["00000000-0000-0000-0000-000000000000"] * 100_000) + "}"),
    "bytea[]": ("{}", "{NULL}", '{"\\\\x"}', "{{a},{b}}"),
    "integer[]": ("{}", "{NULL}", "{{1},{2}}", "[5:6]={1,2}", "{" + ",".join(["2147483647"] * 100_000) + "}"),
}

# What a client says of itself is looked at nowhere and tried all at once.
SAID_OF_ONESELF = ("p_request_id", "p_user_agent")

# Whoever has b's acts for b: these are nobody else's to try. The others prove something together with an id.
PROOFS = ("p_key_hash", "p_secret_hash", "p_session_hash", "p_ticket", "p_token_hash")
PROVE_TOGETHER = frozenset({"p_lease", "p_old_hash", "p_password_hash", "p_verified_hash"})

# Which field is bad, and in which way: every function may say so, and a comment need not (docs/errors.md).
GENERIC = frozenset({"22023", "23502", "23514"})

# What refuses when a function did not: the audit trigger, for another tenant's row, and policies. No call comes so far.
LAST_LINES = ("the tenant context was changed while a statement ran", "row-level security policy")

# With a's arguments and for an owner: who lacks nothing is denied nothing, and a tenant that is not deleted is not
# restored.
FAILS = {"record_denial": "22023", "restore_tenant": "LM002"}

# Whose rows a function changes though the caller may change none of theirs.
CHANGES: dict[str, tuple[str, ...]] = {
    # A hash proves the key, whatever the context.
    "count_api_key_call": ("a",),
    # One's own session, and what was denied to oneself: that takes no permission.
    "log_out": ("a",),
    "log_out_all": ("a",),
    "record_denial": ("a",),
    "switch_tenant": ("a",),
    # For whoever names an address; what comes of it goes to that address, or into the log.
    "record_failed_log_in": ("b",),
    "request_password_reset": ("b",),
    # In the name of a platform admin whose session is proved.
    "administer_tenant": ("b",),
    # An operator's declaration, and its end.
    "close_access": ("a",),
    "open_access": ("a", "b", "nobody"),
    "open_access_as": ("a", "b", "nobody"),
    # Maintenance of all tenants, or of the one that is named.
    "claim_mail": ("b",),
    "expire_reservations": ("b",),
    "recount_ai_quota": ("b",),
    "settle_mail": ("b",),
}

# Whose rows within a somebody changes who is none of those: with which function, in which table, with what permission.
COLLEAGUES = {
    "change_member_role limena.memberships": "members:write",
    "connect_integration limena.integrations": "integrations:write",
    # A hash proves the key, whatever the context.
    "count_api_key_call limena.api_key_rates": "",
    # What a key makes is also in the name of who made the key.
    "create_api_key limena.api_keys": "api_keys:write",
    "create_invitation limena.invitations": "invitations:write",
    "disconnect_integration limena.integrations": "integrations:write",
    "record_revocation limena.integrations": "integrations:write",
    "release_ai_call limena.ai_reservations": "ai:write",
    "release_ai_call limena.ai_usage_days": "ai:write",
    "release_ai_call limena.ai_usage_logs": "ai:write",
    # Who is no member any more has no keys and no sessions there.
    "remove_member limena.api_keys": "members:write",
    "remove_member limena.memberships": "members:write",
    "remove_member limena.sessions": "members:write",
    # For whoever names an address; what comes of it goes to that address.
    "request_password_reset limena.password_resets": "",
    "retire_api_key limena.api_keys": "api_keys:write",
    "revoke_all_api_keys limena.api_keys": "api_keys:write",
    "revoke_api_key limena.api_keys": "api_keys:write",
    "rotate_api_key limena.api_keys": "api_keys:write",
    "settle_ai_call limena.ai_reservations": "ai:write",
    "settle_ai_call limena.ai_usage_days": "ai:write",
    "settle_ai_call limena.ai_usage_logs": "ai:write",
    "transfer_ownership limena.memberships": "tenant:own",
    "withdraw_invitation limena.invitations": "invitations:write",
}

# The model of the reservation that is overdue, which is anybody's to close.
OVERDUE = "markera-overdue"

# What trusted roles are told of every tenant.
TELLS = {
    "begin_log_in": "the hash that a password is compared with",
    "claim_mail": "what is to be delivered",
    "due_ai_quotas": "whose quotas are due",
    "sealed_tenants": "whose logs are to be verified",
    "stale_credentials": "what is to be sealed anew",
}

# To whom another tenant's id is not as good as none: those who may name any.
KNOWS = {
    "administer_tenant": "a platform admin",
    "expire_reservations": "maintenance",
    "recount_ai_quota": "maintenance",
    "verify_audit_segments": "maintenance",
}

# What a function answers without a context, beyond NOTHING.
ANSWERS = {
    "ai_calls_at": "what its arguments come to",
    "ai_clock": "the time",
    "ai_trip_notice": "what its arguments come to",
    "csv_text": "what its argument comes to",
    "cursor_key": "what its arguments come to",
    "cursor_of": "what its arguments come to",
    "cursor_time": "what its argument comes to",
    "deployed_digest": "which version this is",
    "enter_api_key": "that the hash is a key's",
    "enter_session": "that the hash is a session's",
    "list_tenant_usage": "empty lists",
    "open_access": "until when the access holds",
    "open_access_as": "its ticket",
    "page_limit": "what its argument comes to",
    "resume_access": "that the ticket is one",
}
NOTHING = ("", "false", "{}", "[]")

# What an owner changes though their tenant is frozen (docs/errors.md, tenant_frozen); and that somebody exports.
WORKS_WHEN_FROZEN = {
    "count_api_key_call",
    "end_session",
    "export_ai_usage",
    "export_audit_logs",
    "log_out",
    "log_out_all",
    "release_ai_call",
    "revoke_all_api_keys",
    "revoke_api_key",
    "settle_ai_call",
    "switch_tenant",
}

# Tables that are the same for all.
PUBLIC = ("limena.permissions", "limena.role_permissions", "limena_private.audited_tables")

# Tables in which no row is a tenant's or a person's.
WITHOUT_B = {
    "limena.log_in_failures",
    "limena.permissions",
    "limena.role_permissions",
    "limena_private.audited_tables",
    "limena_private.seal_keys",
}

# Columns in which b has no value of its own: words of ours, four characters, and who the operator is.
UNMARKED = {
    "limena.ai_quotas.trip_cause",
    "limena.ai_reservations.actor_type",
    "limena.ai_reservations.state",
    "limena.ai_usage_days.actor_type",
    "limena.ai_usage_days.outcome",
    "limena.ai_usage_logs.actor_type",
    "limena.ai_usage_logs.outcome",
    "limena.api_keys.last_four",
    "limena.api_keys.scopes",
    "limena.audit_logs.action",
    "limena.audit_logs.actor_type",
    "limena.audit_logs.entity_type",
    "limena.integration_credentials.field",
    "limena.integrations.revocation",
    "limena.operator_access.login",
    "limena.operator_access.session_id",
    "limena.operator_access.user_id",
    "limena.outbox.template",
    "limena.tenants.state",
}
