"""What all JSON documents have in common, and the plain values that rooms hand each other."""

from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = 1
"""Rises when a key of a document is removed or changes its meaning."""

Document = dict[str, Any]
"""Plain JSON values by key."""

Fields = Mapping[str, Any]
"""Values by name that are only read: a table of settings, the columns of a row."""

Names = tuple[str, ...]
"""Names or lines in a fixed order, such as tickers, days and warnings."""

Texts = Mapping[str, str]
"""Texts by name, such as headers and other column names."""
