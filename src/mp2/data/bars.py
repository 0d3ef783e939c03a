"""Any layout of daily bars as rows `date, ticker, open, high, low, close, volume`.

A source holds one table with a ticker column (long), or a table for each ticker: a file in a
folder, or columns that are called by field and ticker (`wide_bars`), as yfinance makes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mp2._files import expanded
from mp2.data.adjusted import OTHER_CLOSE, Adjustments
from mp2.data.column_names import Finder, ambiguous_lines, missing_line, mistaken
from mp2.data.columns import Columns
from mp2.data.findings import Finding
from mp2.data.opening import open_table
from mp2.data.reading import Reading
from mp2.data.tables import Rows, Table
from mp2.data.wide_bars import (
    CSV_SUFFIXES,
    PRICES,
    wide_bars,
    with_plain_columns,
)
from mp2.errors import InputError

ROLES = ("date", "ticker", *PRICES, "volume")


@dataclass(slots=True)
class BarSource:
    """A source of bars; `batches` fills the other fields.

    `empty_tickers` are those of files without a row; `adjustments`: what was read adjusted;
    `notes` names the tables of each guess, `odd_volumes` has a line for each table with some.
    """

    source: Any
    reading: Reading
    problems: list[str] = field(default_factory=list)
    empty_tickers: list[str] = field(default_factory=list)
    adjustments: Adjustments = field(default_factory=Adjustments)
    notes: dict[str, list[str]] = field(default_factory=dict)
    odd_volumes: list[str] = field(default_factory=list)

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
            with open_table(source, "prices", self.reading) as table:
                self._note(table, table.notes)
                given = self.reading.columns
                wide = wide_bars(table, given)
                if wide is None:
                    yield from self._rows(table, ticker)
                    return
                self._note(table, wide.notes)
                for part, part_ticker in wide.parts(given.get("date", "date")):
                    yield from self._rows(part, part_ticker)
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
        self._note(table, columns.notes)
        doubts = columns.doubts.lines()
        if self.reading.strict:
            self.problems += doubts
        else:
            self.odd_volumes += doubts
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
        finder = Finder(table, {**adjusted, **self.reading.columns})
        for role in ROLES:
            # The name of a file is better than a column that may be the ticker.
            finder.find(role, is_sure=role == "ticker" and ticker is not None)
        for role in ("volume", "ticker"):
            if role not in finder.given and (role == "volume" or ticker):
                finder.missing.pop(role, None)
        other_kind = mistaken(table, "prices")
        problems = other_kind or list(finder.unclear)
        if finder.missing and not other_kind:
            line = missing_line(table, finder.missing)
            if "ticker" in finder.missing and "ticker" not in finder.given:
                line += (
                    "; bars of one ticker: add such a column, or name the file after the "
                    "ticker (AAPL.csv) and read its folder"
                )
            problems.append(line)
        problems += ambiguous_lines(table, finder.names.values())
        if problems:
            raise InputError(problems)
        self._note(table, finder.notes)
        return finder.names

    def _note(
        self,
        table: Table,
        notes: Sequence[str],
    ) -> None:
        """Add guesses about a table: once for all the files or tickers of which they are made."""
        for note in notes:
            self.notes.setdefault(note, []).append(table.name)

    @property
    def findings(self) -> list[Finding]:
        """The guesses, one for all the tables of which each is made."""
        findings = []
        for note, names in self.notes.items():
            others = f" (and {len(names) - 1} more like it)" if len(names) > 1 else ""
            line = f"{names[0]}: {note}{others}"
            findings.append(Finding(kind="guess", line=line, done="read so", n=len(names)))
        if self.odd_volumes:
            n = len(self.odd_volumes)
            others = f" (and in {n - 1} more tables)" if n > 1 else ""
            line = f"{self.odd_volumes[0]}{others}; such volumes are taken as unknown"
            findings.append(Finding(kind="odd_volume", line=line, done="taken as unknown", n=n))
        return findings
