"""Signals as a wide boolean pandas frame, as vectorbt makes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mp2._document import Texts
from mp2.data.arrays import BoolArray
from mp2.data.column_names import ColumnNames
from mp2.data.columns import KEYS
from mp2.data.dates import parse_day
from mp2.data.encoding import FoundNames
from mp2.data.signal_table import Key
from mp2.data.tables import Rows, Stop, Table, raise_if_stopped

# Cells that are converted at once.
_BLOCK_CELLS = 1 << 20
_NAME = "signals"


def wide_table(
    frame: Any,
    columns: ColumnNames,
    problems: list[str],
    stop: Stop,
) -> tuple[Table, FoundNames]:
    """Return a wide frame as a long table of buys, and all its names, also those without a buy.

    Index = time, columns = levels algo, parameters and ticker (or symbol). A variation is named by
    its parameter values joined with '-'; parameters that a column leaves null are skipped. Cells
    are true, false, 1, 0 or null. Adds everything wrong with the frame to `problems`.
    """
    import polars as pl

    levels = list(frame.columns.names)
    ticker_level = columns.get("ticker", "ticker")
    if "ticker" not in columns and ticker_level not in levels and "symbol" in levels:
        ticker_level = "symbol"
    roles = {"algo": columns.get("algo", "algo"), "ticker": ticker_level}
    wrong_levels = level_problems(frame, roles)
    problems += wrong_levels
    days = [parse_day(str(entry)) for entry in frame.index]
    if None in days:
        number = days.index(None)
        problems.append(
            f"{_NAME}: index entry {number + 1}: {str(frame.index[number])!r} is not a day; "
            f"use timestamps, YYYY-MM-DD or YYYYMMDD ({days.count(None)} such entries)"
        )
    names = FoundNames(days={day for day in days if day is not None})
    tickers: Any = []
    keys: list[Key] = []
    # Without its levels a column has no name.
    if not wrong_levels:
        tickers = _texts(frame, ticker_level)
        keys = variation_keys(frame, roles, problems)
        names.tickers.update(tickers)
        names.variations.update(dict.fromkeys(keys))
    problems += cell_problems(frame, stop)
    # One row for each column of the frame: a buy takes its names from there.
    key_columns = pl.DataFrame(keys, schema=["algo", "variation"], orient="row")
    key_columns = key_columns.with_columns(pl.Series("ticker", tickers, pl.String))
    day_column = pl.Series("day", days, pl.Date)

    def read(_: Any) -> Rows:
        for first_column, block in _blocks(frame, stop):
            is_bought, _ = _cells(block)
            row, column = np.nonzero(is_bought)
            buys = key_columns[column + first_column]
            yield buys.with_columns(day_column.gather(row))

    return Table(_NAME, KEYS, read), names


def level_problems(
    frame: Any,
    roles: Texts,
) -> list[str]:
    """Return what is wrong with the column levels and the size of a frame."""
    levels = list(frame.columns.names)
    shown = f"the levels are {', '.join(map(str, levels))}"
    if None in levels or len(set(levels)) < len(levels):
        return [f"{_NAME}: every column level needs a name of its own; {shown}"]
    problems = []
    for role, level in roles.items():
        if level not in levels:
            problems.append(
                f"{_NAME}: no column level {level!r}; {shown}; name it with columns ({role}=NAME)"
            )
            continue
        is_null = frame.columns.get_level_values(level).isna()
        if is_null.any():
            problems.append(
                f"{_NAME}: column level {level!r} holds nulls, "
                f"the first in column {is_null.argmax() + 1}"
            )
    if len(levels) <= len(roles):
        problems.append(
            f"{_NAME}: a wide frame needs a parameter level beside algo and ticker; {shown}"
        )
    for axis, n in zip(("rows", "columns"), frame.shape, strict=True):
        if not n:
            problems.append(f"{_NAME}: the frame has no {axis}")
    return problems


def _texts(
    frame: Any,
    level: str,
) -> list[str | None]:
    """Return the value of a level for every column, as text."""
    values = frame.columns.get_level_values(level)
    pairs = zip(values, values.isna(), strict=True)
    return [None if null else str(value) for value, null in pairs]


def variation_keys(
    frame: Any,
    roles: Texts,
    problems: list[str],
) -> list[Key]:
    """Name every column; different parameters must not give the same name."""
    keys = []
    clashes = []
    parameters_of: dict[Key, Any] = {}
    levels = [level for level in frame.columns.names if level not in roles.values()]
    texts = [_texts(frame, level) for level in levels]
    for algo, *parameters in zip(_texts(frame, roles["algo"]), *texts, strict=True):
        variation = "-".join(text for text in parameters if text is not None)
        key = (str(algo), variation)
        keys.append(key)
        if parameters_of.setdefault(key, parameters) != parameters:
            clashes.append(
                f"{_NAME}: two variations of {algo!r} would both be called {variation!r}; "
                "rename a parameter value"
            )
    # The first one shows what is wrong; every ticker of such a variation clashes.
    problems += clashes[:1]
    return keys


def cell_problems(
    frame: Any,
    stop: Stop,
) -> list[str]:
    """Return the first cell that is neither true, false nor null, if any."""
    n_wrong = 0
    first = ""
    for _, block in _blocks(frame, stop):
        _, is_wrong = _cells(block)
        n_wrong += int(np.count_nonzero(is_wrong))
        if n_wrong and not first:
            row, column = np.argwhere(is_wrong)[0]
            levels = ", ".join(map(str, block.columns[column]))
            value = block.iat[row, column]
            first = f"{_NAME}: column {levels}, row {row + 1}: {value} is neither true nor false"
    if n_wrong > 1:
        first += f" ({n_wrong} such cells)"
    return [first] if n_wrong else []


def _blocks(
    frame: Any,
    stop: Stop,
) -> Iterator[tuple[int, Any]]:
    """Yield blocks of columns with the number of their first column."""
    n_rows, n_columns = frame.shape
    width = max(1, _BLOCK_CELLS // max(1, n_rows))
    for first in range(0, n_columns, width):
        raise_if_stopped(stop, _NAME)
        yield first, frame.iloc[:, first : first + width]


def _cells(block: Any) -> tuple[BoolArray, BoolArray]:
    """Return which cells are true, and which are neither true, false nor null."""
    values = block.to_numpy()
    # The usual frame; the others take several passes.
    if values.dtype == np.bool_:
        return values, np.zeros_like(values)
    values = np.where(block.isna().to_numpy(), 0, values)
    is_true = np.asarray(values == 1, np.bool_)
    is_false = np.asarray(values == 0, np.bool_)
    return is_true, ~(is_true | is_false)
