"""Wide tables of bars: columns that are called by field and ticker, as yfinance makes them.

Such columns have names like `('Close', 'AAPL')`, the text of a tuple: pandas writes its column
levels to Parquet like that, and several header lines of a CSV file are read like that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mp2._document import Names
from mp2.data.column_names import USUAL_NAMES, ambiguous_lines, plain_name
from mp2.data.dates import parse_day
from mp2.data.delimited import csv_head
from mp2.data.kinds import file_kind
from mp2.data.tables import ColumnList, Rows, Table
from mp2.errors import InputError

PRICES = ("open", "high", "low", "close")
CSV_SUFFIXES = (".csv", ".csv.gz")
# The first cells of a wide CSV file's two header lines, as pandas and yfinance write them.
_LEVEL_NAMES = (["price", "ticker"], ["ticker", "price"], ["", ""])
N_WIDE_LEVELS = 2


def with_plain_columns(source: Any) -> Any:
    """Return a pandas frame with text for its column levels, and an index of dates named `date`.

    Other sources are returned as they are.
    """
    import narwhals as nw

    if not nw.dependencies.is_pandas_dataframe(source):
        return source
    # Shallow: the caller's frame keeps its names, and no value is copied.
    frame = source.copy(deep=False)
    if frame.index.nlevels == 1 and frame.index.name is None and frame.index.dtype.kind == "M":
        frame.index = frame.index.rename("date")
    if frame.columns.nlevels > 1:
        frame.columns = [str(tuple(map(str, levels))) for levels in frame.columns]
    return frame


def count_header_rows(path: Path) -> int:
    """Return 1, or for a wide CSV file 2, or 3 when a line holds nothing but the index's name."""
    if file_kind(path) != "csv":
        return 1
    head = csv_head(path, 1)
    first_cells = {names[0] for names in _LEVEL_NAMES}
    # The first line decides most files: the next ones may be long, or faulty.
    if not head or head[0][0].lower() not in first_cells:
        return 1
    head = csv_head(path, 3)
    if [row[0].lower() for row in head[:2]] not in _LEVEL_NAMES:
        return 1
    for first_cell, *others in head[2:]:
        if not any(others) and parse_day(first_cell) is None:
            return 3
    return 2


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


def split_by_ticker(table: Table) -> Iterator[tuple[Table, str]]:
    """Yield a table for each ticker of a wide one, which is read into memory for that."""
    import polars as pl

    problems = ambiguous_lines(table, table.columns)
    if problems:
        raise InputError(problems)
    levels = {name: name_levels(name) for name in table.columns}
    date_name = table.columns[0]
    for name in reversed(table.columns):
        if any(plain_name(level) in USUAL_NAMES["date"] for level in levels[name]):
            date_name = name
    del levels[date_name]
    columns_of = columns_by_ticker(table, levels)
    # Texts that are all numbers are converted: text takes ten times the memory.
    number = pl.col(pl.String).exclude(date_name).cast(pl.Float64, strict=False)
    batches = []
    for batch in table.batches(table.columns):
        numbers = batch.select(number)
        exact = [one for one in numbers if one.null_count() == batch[one.name].null_count()]
        batches.append(batch.with_columns(exact))
    if not batches:
        batches = [pl.DataFrame(schema=table.columns)]
    rows = pl.concat(batches, how="vertical_relaxed")
    for ticker, names in columns_of.items():
        # Column by column: a query over thousands of columns takes long.
        columns = [rows[date_name].alias("date")]
        columns += [rows[name].alias(field) for field, name in names.items()]
        part = pl.DataFrame(columns)
        name = f"{table.name}[{ticker}]"

        def read(names: ColumnList, part: pl.DataFrame = part) -> Rows:
            yield part.select(names)

        yield Table(name, tuple(part.columns), read), ticker


def columns_by_ticker(
    table: Table,
    levels: Mapping[str, Sequence[str]],
) -> dict[str, dict[str, str]]:
    """Return, by ticker and field, the column; one of the two levels has all four prices."""
    # yfinance has had the levels in either order.
    for field_level in (0, 1):
        columns: dict[str, dict[str, str]] = {}
        fields = set()
        for name, cells in levels.items():
            if len(cells) == N_WIDE_LEVELS:
                price_field = plain_name(cells[field_level])
                columns.setdefault(cells[1 - field_level], {})[price_field] = name
                fields.add(price_field)
        if fields.issuperset(PRICES):
            return columns
    raise InputError(
        f"{table.name}: wide columns need the fields {', '.join(PRICES)} for each ticker, "
        "as yfinance makes them"
    )
