"""Limena: tenant isolation, roles, API keys and an audit log whose rules live in PostgreSQL."""

from limena.errors import Problem
from limena.pools import create_tenant_pool
from limena.transaction import ApiKeyCredential, Credential, SessionCredential, tenant_transaction

__version__ = "0.1.0"

__all__ = [
    "ApiKeyCredential",
    "Credential",
    "Problem",
    "SessionCredential",
    "create_tenant_pool",
    "tenant_transaction",
]
