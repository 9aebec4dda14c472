"""Loads the fixtures for both trees of tests: api/tests (pytest) and db/tests (pgTAP)."""

pytest_plugins = ["support.fixtures", "support.api", "support.door"]
