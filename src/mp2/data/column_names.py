"""Which column of a table is meant: found by its usual names, or the one that the caller gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mp2._document import Texts
from mp2.data.tables import Table

# The names in a table by role, such as {"day": "Date"}.
ColumnNames = Texts

USUAL_NAMES = {"date": ("date", "datetime", "day", "timestamp"), "ticker": ("ticker", "symbol")}
_MAX_COLUMNS_SHOWN = 12


def unknown_roles(
    names: Iterable[str],
    known: Sequence[str],
) -> list[str]:
    """Return a problem for each of the caller's `columns` that means no known column."""
    return [
        f"columns: {role!r} is unknown; choose from {', '.join(known)}"
        for role in names
        if role not in known
    ]


def missing_line(
    table: Table,
    role: str,
    name: str,
    alternative: str = "",
) -> str:
    """Return the problem of a column that a table lacks."""
    columns = named(table.columns, _MAX_COLUMNS_SHOWN) or "none"
    return (
        f"{table.name}: missing column {name!r}{alternative}; it has {columns}; "
        f"give another name with columns ({role}=NAME)"
    )


def named(
    names: Sequence[object],
    n_shown: int,
) -> str:
    """Return the first names of a list for a message, with "..." for the others."""
    texts = [str(name) for name in names[:n_shown]]
    if len(names) > n_shown:
        texts.append("...")
    return ", ".join(texts)


def ambiguous_lines(
    table: Table,
    used: Iterable[str],
) -> list[str]:
    """Return a problem for each name in use that several columns have."""
    problems = []
    for name in dict.fromkeys(used):
        n_columns = table.columns.count(name)
        if n_columns > 1:
            problems.append(
                f"{table.name}: {n_columns} columns are called {name!r}; rename all but one"
            )
    return problems


def columns_for(
    table: Table,
    role: str,
    given: ColumnNames,
) -> list[str]:
    """Return the columns that may have a role: one, unless names differ in letter case alone."""
    if role in given:
        return [given[role]] if given[role] in table.columns else []
    for usual in USUAL_NAMES.get(role, (role,)):
        # An exact name is not ambiguous beside others in capitals.
        if usual in table.columns:
            return [usual]
        columns = [name for name in table.columns if plain_name(name) == usual]
        if columns:
            return list(dict.fromkeys(columns))
    return []


def plain_name(name: object) -> str:
    """Return a column's name as it is compared: without spaces around it, in lower case."""
    return str(name).strip().lower()
