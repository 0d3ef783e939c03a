"""JSON of documents and columns: by orjson where it is installed, else by the standard library.

orjson takes a tenth of the time, but lacks wheels for some Pythons that the package runs on.
Both give the same values; only the digits of a number's exponent may differ.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from functools import cache
from math import isfinite
from types import ModuleType
from typing import Any


def encode(value: Any) -> str:
    """Return compact JSON of documents and records.

    A record becomes an object, a set an array, a number that is not finite null.
    """
    orjson = _orjson()
    if orjson:
        try:
            # Sizes of groups are keys.
            options = orjson.OPT_NON_STR_KEYS
            packed: bytes = orjson.dumps(value, default=_plain, option=options)
            return packed.decode()
        except TypeError:
            # Counts beyond 64 bits, and file names that are not Unicode: the library has both.
            pass
    compact: dict[str, Any] = {"separators": (",", ":"), "ensure_ascii": False, "default": _plain}
    try:
        text = json.dumps(value, allow_nan=False, **compact)
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False, **compact)
    # What is not Unicode gets the escapes that JSON has for it.
    return text.encode("utf-8", "backslashreplace").decode()


def decode(text: str) -> Any:
    """Return the value of JSON text. Raises ValueError."""
    return (_orjson() or json).loads(text)


@cache
def _orjson() -> ModuleType | None:
    # Here, since commands that print no JSON need not wait for it.
    try:
        import orjson
    except ImportError:
        return None
    return orjson


def _plain(value: Any) -> Any:
    """A record as its fields, a set as a list."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return list(value)


def _finite(value: Any) -> Any:
    """The value with None for numbers that are not finite."""
    if is_dataclass(value):
        value = _plain(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_finite(item) for item in value]
    return value
