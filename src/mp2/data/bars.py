"""Any layout of daily bars as rows `date, ticker, open, high, low, close, volume`.

A source holds one table with a ticker column (long), or a table for each ticker: a file in a
folder, or columns that are called by field and ticker (wide), as yfinance makes them. Wide columns
have names such as `('Close', 'AAPL')`, the text of a tuple: pandas writes its column levels to
Parquet like that, and several header lines of a CSV file are read like that.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mp2._document import Names
from mp2._files import expanded
from mp2.data.columns import (
    ColumnNames,
    Columns,
    ambiguous_lines,
    missing_line,
    parse_day,
)
from mp2.data.tables import (
    ColumnList,
    Rows,
    Stop,
    Table,
    csv_head,
    open_table,
)
from mp2.errors import InputError

if TYPE_CHECKING:
    import polars as pl

PRICES = ("open", "high", "low", "close")
ROLES = ("date", "ticker", *PRICES, "volume")

_USUAL_NAMES = {"date": ("date", "datetime", "day", "timestamp"), "ticker": ("ticker", "symbol")}
_CSV = (".csv", ".csv.gz")
# The first cells of a wide CSV file's two header lines, as pandas and yfinance write them.
_LEVEL_NAMES = (["price", "ticker"], ["ticker", "price"], ["", ""])
_N_WIDE_LEVELS = 2


@dataclass(slots=True)
class BarSource:
    """A source of bars; `batches` fills `problems` and `empty_tickers`.

    `names` maps roles to the source's own names; `empty_tickers` are those of files without a row.
    """

    source: Any
    names: ColumnNames
    table: str | None = None
    query: str | None = None
    stop: Stop = None
    problems: list[str] = field(default_factory=list)
    empty_tickers: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path | None:
        """The path of a file or folder."""
        return expanded(self.source) if isinstance(self.source, str | os.PathLike) else None

    @property
    def name(self) -> str:
        """What messages call the source."""
        return str(self.path or "prices")

    def batches(self) -> Rows:
        """Yield the rows of every table that can be read, in batches with all roles as columns."""
        path = self.path
        if path is None:
            yield from self._read(with_plain_columns(self.source), None)
        elif path.is_dir():
            for file, ticker in self._files(path):
                yield from self._read(file, ticker)
        else:
            yield from self._read(path, None)

    def _files(self, folder: Path) -> Iterator[tuple[Path, str]]:
        if self.table is not None or self.query is not None:
            self.problems.append(f"{folder}: table and query are for SQLite files; leave them out")
        file_of: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            name = path.name
            if name.startswith(".") or not name.lower().endswith(_CSV):
                continue
            # Tickers may have dots themselves, as BRK.B.
            ticker = name[: name.lower().rindex(".csv")]
            first = file_of.setdefault(ticker, path)
            if first != path:
                self.problems.append(
                    f"{path}: {first.name} is a file of ticker {ticker!r} too; keep one of them"
                )
            yield path, ticker
        if not file_of:
            self.problems.append(
                f"{folder}: no CSV file in this folder; "
                "it needs one for each ticker, such as AAPL.csv"
            )

    def _read(
        self,
        source: Any,
        ticker: str | None,
    ) -> Rows:
        """Yield the rows of a file or frame; `ticker` is that of a file in a folder."""
        try:
            n_header_rows = count_header_rows(source) if isinstance(source, Path) else 1
            with open_table(
                source,
                "prices",
                table=self.table,
                query=self.query,
                n_header_rows=n_header_rows,
                stop=self.stop,
            ) as table:
                if any(len(_levels(name)) == _N_WIDE_LEVELS for name in table.columns):
                    for part, part_ticker in split_by_ticker(table):
                        yield from self._rows(part, part_ticker)
                else:
                    yield from self._rows(table, ticker)
        except InputError as error:
            # The other files of a folder are still checked, so that all problems come at once.
            self.problems += error.problems

    def _rows(
        self,
        table: Table,
        ticker: str | None,
    ) -> Rows:
        import polars as pl

        names = self._column_names(table, ticker)
        constants = []
        if "ticker" not in names:
            constants.append(pl.lit(ticker, pl.String).alias("ticker"))
        if "volume" not in names:
            constants.append(pl.lit(float("nan")).alias("volume"))
        columns = Columns(table, names)
        n_rows = 0
        for batch in columns.batches(list(names)):
            n_rows += batch.height
            # Rows without a date or ticker are faults; the others are still checked.
            yield batch.with_columns(constants).drop_nulls(["date", "ticker"])
        self.problems += columns.faults.lines()
        # A file without rows is a ticker without bars.
        if "ticker" not in names and ticker is not None and not n_rows:
            self.empty_tickers.append(ticker)

    def _column_names(
        self,
        table: Table,
        ticker: str | None,
    ) -> dict[str, str]:
        """Return the table's name of every role; raises `InputError` without a needed one."""
        names: dict[str, str] = {}
        problems: list[str] = []
        for role in ROLES:
            candidates = columns_for(table, role, self.names)
            if candidates:
                names[role] = candidates[0]
            elif role in self.names or not (role == "volume" or (role == "ticker" and ticker)):
                line = missing_line(table, role, self.names.get(role, role))
                if role == "ticker" and role not in self.names:
                    line += (
                        "; bars of one ticker: add such a column, or name the file after the "
                        "ticker (AAPL.csv) and read its folder"
                    )
                problems.append(line)
            if len(candidates) > 1:
                first, second, *_ = candidates
                problems.append(
                    f"{table.name}: columns {first!r} and {second!r} could both be {role}; "
                    f"choose with columns ({role}=NAME)"
                )
        problems += ambiguous_lines(table, names.values())
        if problems:
            raise InputError(problems)
        return names


def columns_for(
    table: Table,
    role: str,
    given: ColumnNames,
) -> list[str]:
    """Return the columns that may have a role: one, unless names differ in letter case alone."""
    if role in given:
        return [given[role]] if given[role] in table.columns else []
    for usual in _USUAL_NAMES.get(role, (role,)):
        # An exact name is not ambiguous beside others in capitals.
        if usual in table.columns:
            return [usual]
        columns = [name for name in table.columns if _plain(name) == usual]
        if columns:
            return list(dict.fromkeys(columns))
    return []


def _plain(name: object) -> str:
    return str(name).strip().lower()


# --- wide tables ---------------------------------------------------------------------------------


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
    if not path.name.lower().endswith(_CSV) or not path.is_file():
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


def _levels(name: object) -> Names:
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
    levels = {name: _levels(name) for name in table.columns}
    date_name = table.columns[0]
    for name in reversed(table.columns):
        if any(_plain(level) in _USUAL_NAMES["date"] for level in levels[name]):
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
            if len(cells) == _N_WIDE_LEVELS:
                price_field = _plain(cells[field_level])
                columns.setdefault(cells[1 - field_level], {})[price_field] = name
                fields.add(price_field)
        if fields.issuperset(PRICES):
            return columns
    raise InputError(
        f"{table.name}: wide columns need the fields {', '.join(PRICES)} for each ticker, "
        "as yfinance makes them"
    )
