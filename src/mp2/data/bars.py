"""Any layout of daily bars as tables of rows `date, ticker, open, high, low, close, volume`.

A source holds one table with a ticker column (long), or a table for each ticker: a file in a folder, or columns that are
called by field and ticker (wide), as yfinance makes them. Wide columns are known by names such as `('Close', 'AAPL')`, the
text of a tuple; that is how pandas writes its column levels to Parquet, and how several header lines of a CSV file are read.
"""

from __future__ import annotations

import ast
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mp2._files import expanded
from mp2.data.columns import Columns, ambiguous_lines, parse_day
from mp2.data.tables import Table, csv_head, open_table
from mp2.errors import InputError

if TYPE_CHECKING:
    import polars as pl

PRICES = ("open", "high", "low", "close")
ROLES = ("date", "ticker", *PRICES, "volume")

_USUAL = {"date": ("date", "datetime", "day", "timestamp"), "ticker": ("ticker", "symbol")}
_CSV = (".csv", ".csv.gz")
_LEVEL_NAMES = (["price", "ticker"], ["ticker", "price"], ["", ""])
_N_WIDE_LEVELS = 2
_N_SHOWN_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class Bars:
    """A table of bars: `columns` gives its rows, `roles` what they have; `ticker` is the ticker of all of them or None."""

    columns: Columns
    roles: tuple[str, ...]
    ticker: str | None


@dataclass(slots=True)
class BarSource:
    """Where bars come from; `problems` is filled by `open_all`."""

    source: Any
    names: Mapping[str, str]
    table: str | None = None
    query: str | None = None
    stop: threading.Event | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What messages call the source."""
        return str(_path(self.source) or "prices")

    def open_all(self) -> Iterator[Bars]:
        """Every table of the source that can be read, open until the next one is asked for."""
        path = _path(self.source)
        if path is None:
            yield from self._opened(_with_plain_columns(self.source), None)
        elif path.is_dir():
            for file, ticker in self._files(path):
                yield from self._opened(file, ticker)
        else:
            yield from self._opened(path, None)

    def _files(self, folder: Path) -> Iterator[tuple[Path, str]]:
        if self.table is not None or self.query is not None:
            self.problems.append(f"{folder}: table and query are for SQLite files; leave them out")
        found: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.name.lower().endswith(_CSV) and not path.name.startswith("."):
                ticker = path.name[: path.name.lower().rindex(".csv")]
                if found.setdefault(ticker, path) != path:
                    self.problems.append(
                        f"{path}: {found[ticker].name} is a file of ticker {ticker!r} too; keep one of them"
                    )
                yield path, ticker
        if not found:
            self.problems.append(
                f"{folder}: no CSV file in this folder; it needs one for each ticker, such as AAPL.csv"
            )

    def _opened(self, source: Any, ticker: str | None) -> Iterator[Bars]:
        with ExitStack() as opened:
            try:
                n_header_rows = _n_header_rows(source)
                table = opened.enter_context(
                    open_table(
                        source,
                        "prices",
                        table=self.table,
                        query=self.query,
                        n_header_rows=n_header_rows,
                        stop=self.stop,
                    )
                )
                parts = list(_split(table)) if _is_wide(table) else [(table, ticker)]
            except InputError as error:
                self.problems += error.problems
                return
            for part, part_ticker in parts:
                yield from self._bars(part, part_ticker)

    def _bars(self, table: Table, ticker: str | None) -> Iterator[Bars]:
        problems: list[str] = []
        names = {
            role: name
            for role in ROLES
            if (name := _column(table, role, self.names, problems)) is not None
        }
        needed = [
            role
            for role in ROLES
            if role in self.names or (role != "volume" and not (role == "ticker" and ticker))
        ]
        problems += [_missing_line(table, role, self.names) for role in needed if role not in names]
        problems += ambiguous_lines(table, list(names.values()))
        self.problems += problems
        if not problems:
            own_ticker = None if "ticker" in names else ticker
            yield Bars(Columns(table, names, self.stop), tuple(names), own_ticker)


def _column(table: Table, role: str, given: Mapping[str, str], problems: list[str]) -> str | None:
    """The table's name of a role: the given one, else a usual one in any letter case; None when there is none."""
    if role in given:
        return given[role] if given[role] in table.columns else None
    for usual in _USUAL.get(role, (role,)):
        found = list(
            dict.fromkeys(name for name in table.columns if str(name).strip().lower() == usual)
        )
        if len(found) > 1 and usual not in found:
            pair = f"{found[0]!r} and {found[1]!r}"
            problems.append(
                f"{table.name}: columns {pair} could both be {role}; choose with columns ({role}=NAME)"
            )
        if found:
            return usual if usual in found else found[0]
    return None


def _missing_line(table: Table, role: str, given: Mapping[str, str]) -> str:
    shown = ", ".join(map(str, table.columns[:_N_SHOWN_COLUMNS])) or "none"
    more = ", ..." if len(table.columns) > _N_SHOWN_COLUMNS else ""
    hint = f"give another name with columns ({role}=NAME)"
    if role == "ticker" and role not in given:
        hint += "; bars of one ticker: add such a column, or name the file after the ticker (AAPL.csv) and read its folder"
    return f"{table.name}: missing column {given.get(role, role)!r}; it has {shown}{more}; {hint}"


def _path(source: Any) -> Path | None:
    return expanded(source) if isinstance(source, str | os.PathLike) else None


# --- wide tables ---------------------------------------------------------------------------------------------------


def _with_plain_columns(source: Any) -> Any:
    """A pandas frame with column levels gets the text of a tuple as each column's name; an index of dates gets a name."""
    import narwhals as nw

    if not nw.dependencies.is_pandas_dataframe(source):
        return source
    frame = source.copy(deep=False)
    if frame.index.nlevels == 1 and frame.index.name is None and frame.index.dtype.kind == "M":
        frame.index = frame.index.rename("date")
    if frame.columns.nlevels > 1:
        frame.columns = [str(tuple(map(str, levels))) for levels in frame.columns]
    return frame


def _n_header_rows(source: Any) -> int:
    """1, or for a wide CSV file 2 or 3: the two levels and, where the index has a name, a line that holds it alone."""
    if (
        not isinstance(source, Path)
        or not source.name.lower().endswith(_CSV)
        or not source.is_file()
    ):
        return 1
    if not any(row[0].lower() in names for row in csv_head(source, 1) for names in _LEVEL_NAMES):
        return 1
    head = csv_head(source, 3)
    if [row[0].lower() for row in head[:2]] not in _LEVEL_NAMES:
        return 1
    return 3 if len(head) > 2 and not any(head[2][1:]) and parse_day(head[2][0]) is None else 2


def _levels(name: object) -> tuple[str, ...]:
    """The levels behind a column's name: those of a tuple's text, else the name itself."""
    text = str(name)
    if text.startswith("(") and text.endswith(")"):
        try:
            levels = ast.literal_eval(text)
        except (
            ValueError,
            SyntaxError,
            MemoryError,
            RecursionError,
        ):  # the last two: nested too deeply
            return (text,)
        if isinstance(levels, tuple):
            return tuple(str(level) for level in levels if str(level))
    return (text,)


def _is_wide(table: Table) -> bool:
    return any(len(_levels(name)) == _N_WIDE_LEVELS for name in table.columns)


def _split(table: Table) -> Iterator[tuple[Table, str]]:
    """A table for each ticker of a wide one, which is read into memory for that."""
    import polars as pl

    if problems := ambiguous_lines(table, table.columns):
        raise InputError(problems)
    levels = {name: _levels(name) for name in table.columns}
    date_name = next((name for name, found in levels.items() if _is_date(found)), table.columns[0])
    tickers = _fields_by_ticker(
        table, {name: found for name, found in levels.items() if name != date_name}
    )
    batches = [_compact(batch, date_name) for batch in table.read(table.columns)]
    rows = pl.concat(batches or [pl.DataFrame(schema=table.columns)], how="vertical_relaxed")
    for ticker, names in tickers.items():
        # By column, since a query over thousands of them takes long.
        part = pl.DataFrame(
            [
                rows[date_name].alias("date"),
                *(rows[name].alias(role) for role, name in names.items()),
            ]
        )
        yield (
            Table(f"{table.name}[{ticker}]", tuple(part.columns), partial(_read_frame, part)),
            ticker,
        )


def _compact(batch: pl.DataFrame, date_name: str) -> pl.DataFrame:
    """Columns of text that are all numbers as such: thousands of text columns take ten times the memory."""
    import polars as pl

    columns = []
    for column in batch:
        numbers = (
            column.cast(pl.Float64, strict=False)
            if column.dtype == pl.String and column.name != date_name
            else column
        )
        columns.append(numbers if numbers.null_count() == column.null_count() else column)
    return pl.DataFrame(columns)


def _read_frame(frame: pl.DataFrame, names: Sequence[str]) -> Iterator[pl.DataFrame]:
    yield frame.select(names)


def _is_date(levels: Sequence[str]) -> bool:
    return any(level.strip().lower() in _USUAL["date"] for level in levels)


def _fields_by_ticker(
    table: Table, levels: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, str]]:
    """Ticker -> field in lower case -> column; which of the two levels holds the fields is seen from what is there."""
    cells = [(name, found) for name, found in levels.items() if len(found) == _N_WIDE_LEVELS]
    for field_level in (0, 1):
        tickers: dict[str, dict[str, str]] = {}
        for name, found in cells:
            tickers.setdefault(found[1 - field_level], {})[found[field_level].strip().lower()] = (
                name
            )
        if set().union(*tickers.values()).issuperset(PRICES):
            return tickers
    raise InputError(
        f"{table.name}: wide columns need the fields {', '.join(PRICES)} for each ticker, as yfinance makes them"
    )
