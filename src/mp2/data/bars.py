"""Any layout of daily bars as rows `date, ticker, open, high, low, close, volume`.

A source holds one table with a ticker column (long), or a table for each ticker: a file in a
folder, a table of a database, or columns that are called by field and ticker (`wide_bars`), as
yfinance makes them. A few of these that cannot be read are left out.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from mp2._document import Names
from mp2._files import expanded
from mp2.data.adjusted import OTHER_CLOSE, Adjustments
from mp2.data.column_names import Finder, mistaken
from mp2.data.columns import Columns
from mp2.data.file_tickers import looks_like_ticker
from mp2.data.findings import Finding, counted_finding
from mp2.data.folders import is_pattern, table_files, with_keys
from mp2.data.kinds import without_suffixes
from mp2.data.opening import open_table, table_names
from mp2.data.reading import Reading
from mp2.data.tables import Rows, Table
from mp2.data.wide_bars import PRICES, wide_bars, with_plain_columns
from mp2.errors import InputError

ROLES = ("date", "ticker", *PRICES, "volume")
# Of files or tickers that cannot be read, this many are accidents, or this share of a large source.
_FEW = 3
_FEW_SHARE = 0.1


class _Part(NamedTuple):
    """One of several tables of a source; `place` is what its problems begin with."""

    name: str
    place: str
    rows: Rows


def _reason(part: _Part, problems: Sequence[str]) -> str:
    return problems[0].removeprefix(f"{part.place}: ").partition(";")[0]


@dataclass(slots=True)
class BarSource:
    """A source of bars; `batches` fills the other fields.

    `empty_tickers` are those of files without a row, `named_tickers` those that are the name of a
    file or table; `adjustments`: what was read adjusted; `notes` names the tables of each guess,
    `odd_volumes` has a line for each table with some; `left_out` has what was not read, and the
    names that were read as tickers.
    """

    source: Any
    reading: Reading
    problems: list[str] = field(default_factory=list)
    left_out: list[Finding] = field(default_factory=list)
    empty_tickers: list[str] = field(default_factory=list)
    named_tickers: set[str] = field(default_factory=set)
    adjustments: Adjustments = field(default_factory=Adjustments)
    notes: dict[str, list[str]] = field(default_factory=dict)
    odd_volumes: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path | None:
        """The path of a file or folder."""
        if isinstance(self.source, str | os.PathLike):
            return expanded(self.source)
        return None

    @property
    def name(self) -> str:
        """What messages call the source."""
        return str(self.path or "prices")

    def batches(self) -> Rows:
        """Yield the rows of every table that can be read, in batches with all roles as columns."""
        path = self.path
        try:
            if path is None:
                yield from self._table(with_plain_columns(self.source))
            elif path.is_dir() or is_pattern(path):
                yield from self._folder(path)
            else:
                tables = table_names(path, self.reading)
                if len(tables) > 1:
                    yield from self._database(path, tables)
                else:
                    yield from self._table(path)
        except InputError as error:
            self.problems += error.problems

    # --- several tables ---------------------------------------------------------------------------

    def _folder(self, folder: Path) -> Rows:
        files, others = table_files(folder)
        if others:
            names = [path.name for path in others]
            self._report("other_kind", "files of another kind than most", "left out", names)
        first_of: dict[tuple[Path, str], Path] = {}
        parts = []
        for file in files:
            path = file.path
            first = first_of.setdefault((path.parent, without_suffixes(path)), path)
            if first != path:
                self.problems.append(
                    f"{path}: {first.name} is a file of ticker {file.ticker!r} too; "
                    "keep one of them"
                )
            rows = self._table(path, file.ticker, keys=file.keys)
            parts.append(_Part(path.name, str(path), rows))
        yield from self._usable("files", parts)
        names = []
        changed = []
        for file in files:
            if file.ticker in self.named_tickers:
                names.append(file.name)
                if file.name != file.ticker:
                    changed.append(f"{file.ticker} of {file.name}")
        if changed:
            self._report(
                "ticker_of_file",
                "tickers that are a part of the name of their file",
                "taken from the name",
                changed,
            )
        if names and not any(map(looks_like_ticker, self.named_tickers)):
            self._report(
                "ticker_of_file",
                "files that are not called like a ticker",
                "kept",
                names,
                "; rename them, such as AAPL.csv",
            )

    def _database(self, path: Path, tables: list[str]) -> Rows:
        n_problems = len(self.problems)
        parts = []
        for table in tables:
            rows = self._table(path, table, part=table)
            parts.append(_Part(table, f"{path}[{table}]", rows))
        n_usable = yield from self._usable("tables", parts)
        if not n_usable:
            # They are not one for each ticker.
            self.problems[n_problems:] = [
                f"{path}: several tables; choose one with table: {', '.join(tables)}"
            ]

    def _usable(
        self,
        what: str,
        parts: Iterable[_Part],
    ) -> Generator[Any, None, int]:
        """Yield the rows of the parts that can be read and return how many these are.

        The others are left out while they are few. `what` they are, in the plural.
        """
        n_usable = 0
        bad: dict[_Part, Names] = {}
        for part in parts:
            try:
                # Whole: rows of a part count only when the later ones are valid, too.
                batches = list(part.rows)
            except InputError as error:
                bad[part] = error.problems
                continue
            n_usable += 1
            yield from batches
        few = max(_FEW, _FEW_SHARE * n_usable)
        if self.reading.strict or len(bad) > few or len(bad) >= n_usable:
            self._refuse(what, bad, n_usable)
        elif bad:
            examples = [f"{part.name} ({_reason(part, bad[part])})" for part in bad]
            self._report("unreadable", f"{what} that cannot be read", "left out", examples)
        return n_usable

    def _refuse(
        self,
        what: str,
        bad: dict[_Part, Names],
        n_usable: int,
    ) -> None:
        """Add the problems of parts; those of a folder of files without headers as one."""
        kinds = {_reason(part, bad[part]).partition("(")[0] for part in bad}
        if len(kinds) == 1 and len(bad) > 1 and not n_usable:
            first, *more = next(iter(bad.values()))
            self.problems += [f"{first} (and so for {len(bad) - 1} other {what})", *more]
            return
        for problems in bad.values():
            self.problems += problems

    def _report(
        self,
        kind: str,
        what: str,
        done: str,
        examples: list[str],
        more: str = "",
    ) -> None:
        n = len(examples)
        self.left_out.append(counted_finding(self.name, kind, what, done, n, examples, more))

    # --- one table --------------------------------------------------------------------------------

    def _table(
        self,
        source: Any,
        ticker: str | None = None,
        *,
        part: str | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> Rows:
        """Yield the rows of a file or frame, or of one `part` of a database.

        `ticker` and `keys` are what the path of a file in a folder says. Raises `InputError`, for
        faults after all rows.
        """
        reading = self.reading
        if part is not None:
            reading = replace(reading, table=part)
        with open_table(source, "prices", reading) as opened:
            table = with_keys(opened, keys or {})
            given = reading.names
            if part is not None:
                table = replace(table, name=f"{source}[{part}]")
                if Finder(table, given).find("ticker", is_sure=True):
                    raise InputError(f"{table.name}: has tickers of its own; choose it with table")
            self._note(table, table.notes)
            wide = wide_bars(table, given)
            if wide is None:
                yield from self._rows(table, ticker)
                return
            self._note(table, wide.notes)
            parts = (
                _Part(part_ticker, part.name, self._rows(part, part_ticker))
                for part, part_ticker in wide.parts(given.get("date", "date"))
            )
            yield from self._usable("tickers", parts)

    def _rows(
        self,
        table: Table,
        ticker: str | None,
    ) -> Rows:
        """Yield the rows of a table; `ticker` is what it is called, or what the caller says."""
        import polars as pl

        ticker = self.reading.ticker or ticker
        adjusted = self.adjustments.columns_of(table, self.reading)
        names = self._column_names(table, ticker, adjusted)
        self.adjustments.note(table, adjusted)
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
        problems = columns.faults.lines()
        doubts = columns.doubts.lines()
        if self.reading.strict:
            problems += doubts
        if problems:
            raise InputError(problems)
        self._note(table, columns.notes)
        self.odd_volumes += doubts
        if "ticker" in names or ticker is None:
            return
        self.named_tickers.add(ticker)
        # A file without rows is a ticker without bars.
        if not n_rows:
            self.empty_tickers.append(ticker)

    def _column_names(
        self,
        table: Table,
        ticker: str | None,
        adjusted: dict[str, str],
    ) -> dict[str, str]:
        """Return the table's name of every role; raises `InputError` without a needed one."""
        finder = Finder(table, {**adjusted, **self.reading.names})
        for role in ROLES:
            # The name of a file is better than a column that may be the ticker.
            finder.find(role, is_sure=role == "ticker" and ticker is not None)
        optional = ["volume"]
        if ticker:
            optional.append("ticker")
        for role in optional:
            if role not in finder.given:
                finder.missing.pop(role, None)
        remedy = ""
        if "ticker" in finder.missing and "ticker" not in finder.given:
            remedy = "; bars of one ticker: give it with ticker (--ticker AAPL)"
        problems = mistaken(table, "prices") or finder.problems(remedy=remedy)
        if self.reading.ticker and "ticker" in finder.names:
            name = finder.names["ticker"]
            problems.append(f"{table.name}: has a column of tickers, {name!r}; leave ticker out")
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
        """The guesses, one for all the tables of which each is made, and what was left out."""
        findings = list(self.left_out)
        for note, names in self.notes.items():
            line = f"{names[0]}: {note}"
            if len(names) > 1:
                line += f" (and {len(names) - 1} more like it)"
            findings.append(
                Finding(
                    kind="guess",
                    line=line,
                    done="read so",
                    n=len(names),
                )
            )
        n = len(self.odd_volumes)
        if n:
            line = self.odd_volumes[0]
            if n > 1:
                line += f" (and in {n - 1} more tables)"
            line += "; such volumes are taken as unknown"
            findings.append(
                Finding(
                    kind="odd_volume",
                    line=line,
                    done="taken as unknown",
                    n=n,
                )
            )
        return findings
