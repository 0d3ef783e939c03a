"""Durations as people write them: 90, "90", "90s", "1.5m", "2h" or "250ms"."""

from __future__ import annotations

import re

from mp2.errors import InputError

Duration = float | str
"""Seconds, or a text with a unit."""

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_duration(text: str) -> float:
    """Return the seconds that a text means; raises `ValueError` with what is wrong."""
    match = _DURATION.fullmatch(text)
    if match is not None:
        number, unit = match.groups()
        unit_s = _UNITS_S.get(unit.lower() or "s")
        if unit_s is not None:
            return float(number) * unit_s
    raise ValueError(f"{text!r} is not a time; write it as 30s, 5m, 1.5h or 250ms")


def seconds(name: str, value: Duration) -> float:
    """Return the seconds of the setting `name`; raises `InputError` for a text that is no time.

    Numbers are returned as they are: the range is checked where the setting is used.
    """
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
