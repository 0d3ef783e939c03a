"""What all JSON documents of the commands have in common."""

from typing import Any

SCHEMA_VERSION = 1
"""Rises when a key of a document is removed or changes its meaning."""

Document = dict[str, Any]
"""Plain JSON values by key."""
