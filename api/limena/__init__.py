"""Limena: tenant isolation, roles, API keys and an audit log whose rules live in PostgreSQL."""

from limena.errors import Problem
from limena.integrations import NotConnected, open_credential
from limena.pools import create_tenant_pool
from limena.transaction import ApiKeyCredential, Credential, SessionCredential, tenant_transaction
from limena.vault import Secret, UnreadableCredential, Vault

__version__ = "0.1.0"

__all__ = [
    "ApiKeyCredential",
    "Credential",
    "NotConnected",
    "Problem",
    "Secret",
    "SessionCredential",
    "UnreadableCredential",
    "Vault",
    "create_tenant_pool",
    "open_credential",
    "tenant_transaction",
]
