"""Any layout of daily bars as rows `date, ticker, open, high, low, close, volume`.

A source holds one table with a ticker column (long), or a table for each ticker: a file in a
folder, or columns that are called by field and ticker (`wide_bars`), as yfinance makes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mp2._files import expanded
from mp2.data.adjusted import OTHER_CLOSE, Adjustments
from mp2.data.column_names import ambiguous_lines, columns_for, missing_line
from mp2.data.columns import Columns
from mp2.data.opening import open_table
from mp2.data.reading import Reading
from mp2.data.tables import Rows, Table
from mp2.data.wide_bars import (
    CSV_SUFFIXES,
    N_WIDE_LEVELS,
    PRICES,
    count_header_rows,
    name_levels,
    split_by_ticker,
    with_plain_columns,
)
from mp2.errors import InputError

ROLES = ("date", "ticker", *PRICES, "volume")


@dataclass(slots=True)
class BarSource:
    """A source of bars; `batches` fills the other fields.

    `empty_tickers` are those of files without a row; `adjustments`: what was read adjusted.
    """

    source: Any
    reading: Reading
    problems: list[str] = field(default_factory=list)
    empty_tickers: list[str] = field(default_factory=list)
    adjustments: Adjustments = field(default_factory=Adjustments)

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
        if self.reading.table is not None or self.reading.query is not None:
            self.problems.append(f"{folder}: table and query are for databases; leave them out")
        file_of: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            name = path.name
            if name.startswith(".") or not name.lower().endswith(CSV_SUFFIXES):
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
                self.reading,
                n_header_rows=n_header_rows,
            ) as table:
                if any(len(name_levels(name)) == N_WIDE_LEVELS for name in table.columns):
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

        adjusted = self.adjustments.columns_of(table, self.reading)
        names = self._column_names(table, ticker, adjusted)
        if OTHER_CLOSE in adjusted:
            names[OTHER_CLOSE] = adjusted[OTHER_CLOSE]
        constants = []
        if "ticker" not in names:
            constants.append(pl.lit(ticker, pl.String).alias("ticker"))
        if "volume" not in names:
            constants.append(pl.lit(float("nan")).alias("volume"))
        columns = Columns(table, names)
        n_rows = 0
        for batch in columns.batches(list(names)):
            n_rows += batch.height
            bars = self.adjustments.applied(batch, adjusted)
            # Rows without a date or ticker are faults; the others are still checked.
            yield bars.with_columns(constants).drop_nulls(["date", "ticker"])
        self.problems += columns.faults.lines()
        # A file without rows is a ticker without bars.
        if "ticker" not in names and ticker is not None and not n_rows:
            self.empty_tickers.append(ticker)

    def _column_names(
        self,
        table: Table,
        ticker: str | None,
        adjusted: dict[str, str],
    ) -> dict[str, str]:
        """Return the table's name of every role; raises `InputError` without a needed one."""
        given = {**adjusted, **self.reading.columns}
        names: dict[str, str] = {}
        problems: list[str] = []
        for role in ROLES:
            candidates = columns_for(table, role, given)
            if candidates:
                names[role] = candidates[0]
            elif role in given or not (role == "volume" or (role == "ticker" and ticker)):
                line = missing_line(table, role, given.get(role, role))
                if role == "ticker" and role not in given:
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
