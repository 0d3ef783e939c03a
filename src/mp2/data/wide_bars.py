"""Wide tables of bars: columns that are called by field and ticker, as yfinance makes them.

Such columns have names like `('Close', 'AAPL')`, the text of a tuple: pandas writes its column
levels to Parquet like that, and several header lines of a CSV file are read like that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from mp2._document import Names, Texts
from mp2.data.column_names import (
    Finder,
    ambiguous_lines,
    missing_line,
    plain_name,
    role_of,
)
from mp2.data.tables import ColumnList, Rows, Table
from mp2.errors import InputError

PRICES = ("open", "high", "low", "close")
# The first cells of a wide CSV file's two header lines, as pandas and yfinance write them.
_LEVEL_NAMES = (["price", "ticker"], ["ticker", "price"], ["", ""])
N_WIDE_LEVELS = 2
_JOINT = re.compile(r"[\s_.:|/-]+")
# Fields that are no bars, and that end like those of bars.
_ADJUSTED = ("adjopen", "adjhigh", "adjlow", "adjclose", "adjvolume", "adjusted", "adjustedclose")


def with_plain_columns(source: Any) -> Any:
    """Return a pandas frame with text for its column levels, and an index of dates named `date`.

    Other sources are returned as they are.
    """
    import narwhals as nw

    if not nw.dependencies.is_pandas_dataframe(source):
        return source
    # Shallow: the caller's frame keeps its names, and no value is copied.
    frame = source.copy(deep=False)
    index = frame.index
    if index.nlevels == 1 and index.name is None and index.dtype.kind == "M":
        frame.index = index.rename("date")
    # Also of columns that were joined to tuples.
    if any(isinstance(levels, tuple) for levels in frame.columns):
        frame.columns = [
            str(tuple(map(str, levels))) if isinstance(levels, tuple) else levels
            for levels in frame.columns
        ]
    return frame


def name_levels(name: object) -> Names:
    """Return the levels of a column's name: those of a tuple's text, else the name itself."""
    text = str(name)
    levels: Any = None
    if text.startswith("(") and text.endswith(")"):
        # Else a name in brackets; the last two errors: brackets nested too deeply.
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            levels = ast.literal_eval(text)
    if isinstance(levels, tuple):
        return tuple(str(level) for level in levels if str(level))
    return (text,)


def joined_levels(columns: Sequence[str]) -> dict[str, Names]:
    """Return (field, ticker) of names like `Close_AAPL`, or all like `AAPL.Close`; else nothing."""
    by_field: dict[str, Names] = {}
    by_ticker: dict[str, Names] = {}
    for name in columns:
        for cut in _JOINT.finditer(name):
            first = name[: cut.start()]
            last = name[cut.end() :]
            # The longest field counts: `Adj Close` is not the close of ADJ.
            if last and _is_field(first):
                by_field[name] = (first, last)
            if first and _is_field(last):
                by_ticker.setdefault(name, (last, first))
    for levels in (by_field, by_ticker):
        if _has_four_prices(columns_by_ticker(levels, [0])):
            return levels
    return {}


def _is_field(name: str) -> bool:
    plain = plain_name(name)
    # C, O, H, L and V are tickers, too.
    if len(plain) < 2:
        return False
    return plain in _ADJUSTED or role_of(name, (*PRICES, "volume")) is not None


def columns_by_ticker(
    levels: Mapping[str, Sequence[str]],
    field_levels: Sequence[int] = (0, 1),
) -> dict[str, dict[str, str]]:
    """Return the column by ticker and field; nothing unless a level has all four prices."""
    # yfinance has had the levels in either order.
    for field_level in field_levels:
        columns: dict[str, dict[str, str]] = {}
        roles = set()
        for name, cells in levels.items():
            field = cells[field_level].strip().lower()
            columns.setdefault(cells[1 - field_level], {})[field] = name
            roles.add(role_of(field, PRICES))
        if roles.issuperset(PRICES):
            return columns
    return {}


def _has_four_prices(columns: Mapping[str, Mapping[str, str]]) -> bool:
    """Return whether some ticker has all four prices."""
    for fields in columns.values():
        roles = {role_of(field, PRICES) for field in fields}
        if roles.issuperset(PRICES):
            return True
    return False


def has_two_levels(
    first: Sequence[str],
    second: Sequence[str],
) -> bool:
    """Return whether two lines of a text are fields and tickers, in either order."""
    if [first[0].lower(), second[0].lower()] in _LEVEL_NAMES:
        return True
    levels: dict[str, Names] = {}
    # What stands before the first field belongs to the index: in a row of bars that is its date.
    index_cells = []
    for number, cells in enumerate(zip(first, second, strict=False)):
        if levels or role_of(cells[0], PRICES) or role_of(cells[1], PRICES):
            levels[str(number)] = cells
        else:
            index_cells.append(cells[1])
    if any(character.isdigit() for character in "".join(index_cells)):
        return False
    # A row of bars can have the same number everywhere, and tickers can be numbers.
    tickers = [cells[1] for cells in levels.values()]
    if all(ticker.replace(".", "").isdigit() for ticker in tickers):
        names = [name for name in index_cells if name]
        if not index_cells or any(role_of(name, ("ticker",)) is None for name in names):
            return False
    # One line that repeats a name means pairs, also where fields are missing.
    fields = [cells[0] for cells in levels.values()]
    has_pairs = len(set(fields)) < len(fields) == len(set(levels.values()))
    return has_pairs or _has_four_prices(columns_by_ticker(levels))


# --- by ticker -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WideBars:
    """A wide table: its column of dates, and those of bars by ticker and field."""

    table: Table
    date: str
    columns: Mapping[str, Mapping[str, str]]
    notes: Names

    def parts(self, date_name: str) -> Iterator[tuple[Table, str]]:
        """Yield a table for each ticker; the wide one is read into memory for that."""
        import polars as pl

        table = self.table
        # Texts that are all numbers are converted: text takes ten times the memory.
        number = pl.col(pl.String).exclude(self.date).cast(pl.Float64, strict=False)
        batches = []
        for batch in table.batches(table.columns):
            exact = []
            # Where a comma is the decimal mark, a dot is none.
            if "," not in (table.decimal, table.likely_decimal):
                numbers = batch.select(number)
                exact = [one for one in numbers if one.null_count() == batch[one.name].null_count()]
            batches.append(batch.with_columns(exact))
        if not batches:
            batches = [pl.DataFrame(schema=table.columns)]
        rows = pl.concat(batches, how="vertical_relaxed")
        for ticker, names in self.columns.items():
            # Column by column: a query over thousands of columns takes long.
            columns = [rows[self.date].alias(date_name)]
            for field, name in names.items():
                # A date below a ticker comes of a damaged header; the index has the dates.
                if field != date_name:
                    columns.append(rows[name].alias(field))
            part = pl.DataFrame(columns)

            def read(names: ColumnList, part: pl.DataFrame = part) -> Rows:
                yield part.select(names)

            one = replace(
                table,
                name=f"{table.name}[{ticker}]",
                columns=tuple(part.columns),
                read=read,
                # What was guessed is said once, of the whole table.
                notes=(),
            )
            yield one, ticker


def wide_bars(
    table: Table,
    given: Texts,
) -> WideBars | None:
    """Return the bars of a wide table, None for a long one."""
    levels = {}
    for name in table.columns:
        cells = name_levels(name)
        if len(cells) == N_WIDE_LEVELS:
            levels[name] = cells
    notes = []
    if not levels:
        finder = Finder(table, given)
        # A long table has a column of tickers, or of each price.
        if finder.find("ticker", is_sure=True) or all(map(finder.find, PRICES)):
            return None
        levels = joined_levels(table.columns)
        if not levels:
            return None
        name = next(iter(levels))
        notes.append(f"columns read as field and ticker: {name} is {levels[name]}")
    problems = ambiguous_lines(table, table.columns)
    columns = columns_by_ticker(levels)
    if not columns:
        problems.append(
            f"{table.name}: wide columns need the fields {', '.join(PRICES)} for each ticker, "
            "as yfinance makes them"
        )
    if problems:
        raise InputError(problems)
    # By the only level of its name, such as ('Date', '').
    others = {" ".join(name_levels(name)): name for name in table.columns if name not in levels}

    def read(names: ColumnList) -> Rows:
        for batch in table.read([others[name] for name in names]):
            batch.columns = list(names)
            yield batch

    finder = Finder(replace(table, columns=tuple(others), read=read), given)
    finder.find("date")
    if finder.unclear:
        raise InputError(finder.unclear)
    if not others or ("date" in given and finder.missing):
        raise InputError(missing_line(finder.table, finder.missing))
    # The index is first; that it has no dates is reported with its values.
    date = finder.names.get("date") or next(iter(others))
    if len(others) > 1:
        notes += finder.notes
    return WideBars(table, others[date], columns, tuple(notes))
