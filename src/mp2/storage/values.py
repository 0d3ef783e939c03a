"""Values as columns of the store hold them, and back as the records they came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from math import isfinite
from typing import Any, TypeVar

from pydantic import TypeAdapter

from mp2._document import Document, Fields
from mp2._json import encode
from mp2.errors import InputError
from mp2.storage import schema

RecordT = TypeVar("RecordT")
Row = Document
"""A row of a table, by column."""


def unicode_text(text: str) -> str:
    """The text with escapes for what is not Unicode: a name from the file system need not be."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_sql(value: Any) -> Any:
    """A value as a column holds it: collections as JSON, counts beyond 64 bits as decimal text."""
    if isinstance(value, dict | list | tuple):
        return encode(value)
    # SQLite's whole numbers have 64 bits, one of them the sign.
    if isinstance(value, int) and value.bit_length() > 63:
        return str(value)
    return value


def from_sql(row: Fields) -> Row:
    """A row's values, JSON decoded. Raises ValueError."""
    values = dict(row)
    encoded = _json_columns()
    for name, value in row.items():
        if name in encoded and value is not None:
            values[name] = json.loads(value)
        elif isinstance(value, float) and not isfinite(value):
            # REAL columns accept infinity, displays do not.
            raise ValueError(f"{name}: not finite")
    return values


# Searching the schema takes longer than decoding a row.
_json_columns = cache(schema.json_columns)


def validated(kind: type[RecordT], values: Fields) -> RecordT:
    """The record with these values, converted and checked by its types. Raises ValueError."""
    try:
        record: RecordT = _adapter(kind).validate_python(values)
    except InputError as error:
        # A record that checks itself, such as `Rules`.
        raise ValueError(str(error)) from error
    return record


# Building one takes far longer than checking a record with it.
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)
