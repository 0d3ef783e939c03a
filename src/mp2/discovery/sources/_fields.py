"""What replies hold, read with distrust: a value of the kind that is wanted, or nothing.

Sources send numbers as text, leave fields empty or out, and put other types where they were not before. A row that cannot be
read is left out; when no row of an answer can be, the answer is not what was agreed.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from mp2.discovery.candidates import one_line
from mp2.discovery.scanner import Reply
from mp2.errors import SourceError

T = TypeVar("T")

ABSENT = (None, "", "None", "-", "N/A")
"""What sources write where they know nothing."""

_NUMBER = re.compile(
    r"[+-]?(\d[\d,]{0,30}(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?%?", re.IGNORECASE | re.ASCII
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def number(value: Any) -> float | None:
    """A finite number, also one written as text: `1,234.5`, `207.0796%` (which is 207.0796)."""
    if isinstance(value, str):
        text = value.strip()
        value = float(text.rstrip("%").replace(",", "")) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def line(value: Any, n_chars: int = 200) -> str:
    """Text on one line, cut; empty for what is none."""
    return one_line(value, n_chars) if isinstance(value, str) else ""


def day(value: Any) -> str | None:
    """The ISO date that a text begins with."""
    found = _DAY.match(value) if isinstance(value, str) else None
    try:
        return datetime.date.fromisoformat(found[0]).isoformat() if found else None
    except ValueError:
        return None


def document(reply: Reply, what: str) -> Any:
    """The body as JSON. Raises `SourceError("bad_payload")` naming `what`; it does not show the body, which may hold a key."""
    try:
        return reply.json()
    except SourceError:
        pass
    raise SourceError("bad_payload", f"{what} is no JSON")


def table(value: Any, what: str) -> dict[str, Any]:
    """A JSON object. Raises `SourceError("bad_payload")` naming `what` for anything else."""
    if not isinstance(value, dict):
        raise unlike(what, "object", value)
    return value


def rows(value: Any, what: str) -> list[Any]:
    """A JSON array. Raises `SourceError("bad_payload")` naming `what` for anything else."""
    if not isinstance(value, list):
        raise unlike(what, "array", value)
    return value


def readable(
    values: Iterable[Any], read: Callable[[dict[str, Any]], T | None], what: str
) -> list[T]:
    """What `read` makes of the rows, without those that are no objects or for which it returns None.

    Raises `SourceError("bad_payload")` when there are rows and none can be read.
    """
    given = list(values)
    found = [row for value in given if isinstance(value, dict) and (row := read(value)) is not None]
    if given and not found:
        raise SourceError("bad_payload", f"{what}: none of the {len(given)} rows can be read")
    return found


def unlike(what: str, wanted: str, value: Any) -> SourceError:
    """The error for a value of the wrong type; it does not show the value."""
    return SourceError("bad_payload", f"{what} is no {wanted} but of type {type(value).__name__}")


def next_weekday(date: datetime.date) -> datetime.date:
    """The first day from Monday to Friday after a date; holidays of exchanges are not known here."""
    return date + datetime.timedelta(days={4: 3, 5: 2}.get(date.weekday(), 1))
