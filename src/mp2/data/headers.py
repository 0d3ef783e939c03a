"""Text without a header: recognised by its first line, and what to say for its columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mp2.errors import InputError, named

_NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?", re.IGNORECASE)
# Also with a time of day behind it; a number of eight digits or more is a date or an epoch.
_DATE = re.compile(r"(?:\d{1,4}([-./])\d{1,2}\1\d{1,4}|\d{8,})(?:[ T][\d:.]+)?")
_TIME = re.compile(r"\d{1,2}:\d\d(?::\d\d)?")
_BAR = ("open", "high", "low", "close", "volume")
_N_PRICES = 4
_MAX_SHOWN = 4


def check_header(
    name: str,
    cells: Sequence[str],
) -> None:
    """Raise `InputError` when the first line of a text holds values, as most of its cells show."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    n_values = sum(_is_value(cell) for cell in filled)
    # What pandas calls columns without names: 0, 1, 2 ...
    is_counted = filled == [str(number) for number in range(len(filled))]
    if 2 * n_values <= len(filled) or is_counted:
        return
    raise InputError(
        f"{name}: the first line holds values, not column names ({named(filled, _MAX_SHOWN)}); "
        f"name the columns by number: columns {_suggested(cells)}"
    )


def _is_value(cell: str) -> bool:
    return any(pattern.fullmatch(cell) for pattern in (_NUMBER, _DATE, _TIME))


def _suggested(cells: Sequence[str]) -> str:
    """Return what the columns of a row of bars are: the order is the same everywhere."""
    roles: list[str] = []
    left = list(_BAR)
    for number, text in enumerate(cells, 1):
        cell = text.strip()
        if _DATE.fullmatch(cell) and "date" not in str(roles):
            roles.append(f"{number}=date")
        elif _NUMBER.fullmatch(cell) and left:
            roles.append(f"{number}={left.pop(0)}")
        elif cell and not _is_value(cell) and "ticker" not in str(roles):
            roles.append(f"{number}=ticker")
    if len(_BAR) - len(left) < _N_PRICES:
        return "1=ROLE,2=ROLE,..."
    return ",".join(roles)
