"""Limena: tenant isolation, roles, API keys and an audit log whose rules live in PostgreSQL."""

__version__ = "0.1.0"
