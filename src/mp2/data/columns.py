"""The columns of a table: found by name, renamed, converted and checked.

`algo`, `variation` and `ticker` become text, `day` and `date` dates, `win` a boolean, prices and
`volume` floats of their own width: two prices are compared as they were stored. Of every kind of
fault the count and the first row, from 1, are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mp2._document import Names
from mp2.data.column_names import ColumnNames, Finder
from mp2.data.date_columns import DateColumn
from mp2.data.numbers import MISSING_TEXTS, decimal_mark, numbers_of, wins_of
from mp2.data.signal_column import ROLE as SIGNAL
from mp2.data.signal_column import signals_of
from mp2.data.tables import Rows, Table
from mp2.data.texts import has_meaning, in_utc, texts_of, tickers_of
from mp2.data.ticker_keys import spelling_findings
from mp2.errors import InputError

if TYPE_CHECKING:
    from polars import DataFrame, Series

KEYS = ("algo", "variation", "day", "ticker")
OUTCOME_PRICES = ("open", "close")
CANONICAL = (*KEYS, *OUTCOME_PRICES, "win")

_NUMBERS = ("open", "high", "low", "close", "volume", "other_close")
# Roles that no row may leave out; prices, wins and volumes may be unknown.
_REQUIRED = (*KEYS, "date")
# Two times of a day mean something else for one ticker than for two.
_TEXT_KEYS = ("algo", "variation", "ticker")
_MAX_LENGTH_SHOWN = 80
_MAX_COLUMNS_SHOWN = 12


# --- faults --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Faults:
    """What is wrong with a table's values, by column and kind: the first example and the count.

    `of_columns` are lines about whole columns.
    """

    table: Table
    first_line: dict[tuple[str, str], str] = field(default_factory=dict)
    n_rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    of_columns: list[str] = field(default_factory=list)

    def note(
        self,
        what: str,
        is_bad: Series,
        values: Series,
        first_row: int,
    ) -> None:
        """Add the rows where `is_bad`; `first_row` is the number of the batch's first row."""
        import polars as pl

        idx = is_bad.arg_max()
        if idx is None or not is_bad[idx]:
            return
        kind = (values.name, what)
        self.n_rows[kind] += int(is_bad.sum())
        if kind in self.first_line:
            return
        one = in_utc(values[idx : idx + 1])
        # Python's dates end with the year 9999, and polars panics when it converts later times.
        is_shown = one.dtype != pl.Duration
        if one.dtype in (pl.Date, pl.Datetime):
            is_shown = one.dt.year().is_between(1, 9999).any()
        if not is_shown:
            one = one.to_physical()
        value = one.to_list()[0]
        text = "null" if value is None else repr(value)
        if len(text) > _MAX_LENGTH_SHOWN:
            text = f"{text[:_MAX_LENGTH_SHOWN]}..."
        place, row = self.table.place(first_row + idx)
        self.first_line[kind] = f"{place}: column {values.name!r}, row {row}: {text} {what}"

    def lines(self) -> list[str]:
        """Return one line for each column and kind, in the order they were noted."""
        lines = []
        for kind, line in self.first_line.items():
            n_rows = self.n_rows[kind]
            lines.append(f"{line} ({n_rows} such rows)" if n_rows > 1 else line)
        return lines + self.of_columns


# --- reading -------------------------------------------------------------------------------------


class Columns:
    """Some columns of a table, converted; `names` maps their roles to the table's own names.

    `batches` notes every fault of every value in `faults`, those of volumes in `doubts`: no
    algorithm reads these. `notes`: what was guessed.
    """

    def __init__(
        self,
        table: Table,
        names: ColumnNames,
    ) -> None:
        self.table = table
        self.names = names
        self.faults = Faults(table)
        self.dates: dict[str, DateColumn] = {}
        for role in _NOT_DAYS.keys() & names.keys():
            self.dates[role] = DateColumn(table, names[role])
        self.doubts = Faults(table)
        self.notes: list[str] = []
        self._mark = table.decimal

    def batches(self, roles: Sequence[str]) -> Rows:
        """Yield the rows in stored order, in batches, with the roles as column names.

        Values that are wrong are null.
        """
        import polars as pl

        if not roles:
            return
        conversions = dict(_CONVERSIONS)
        for role, dates in self.dates.items():
            conversions[role] = (dates.days, (), _NOT_DAYS[role])
        first_row = 1
        # One column of the table may serve several roles.
        names = dict.fromkeys(self.names[role] for role in roles)
        for batch in self.table.batches(list(names)):
            columns = []
            numbers = self._numbers(batch, roles)
            for role in roles:
                convert, missing, what = conversions[role]
                values = batch[self.names[role]]
                converted = numbers[role] if role in numbers else convert(values)
                converted = converted.alias(role)
                columns.append(converted)
                if not converted.null_count():
                    continue
                if role in self.dates and self.dates[role].refusal:
                    continue
                nulls = converted.is_null()
                misread = nulls & has_meaning(values, missing)
                faults = self.doubts if role == "volume" else self.faults
                faults.note(what, misread, values, first_row)
                if role in _REQUIRED:
                    needed = f"is no {role}; every row needs one"
                    self.faults.note(needed, nulls & ~misread, values, first_row)
            keys = [column for column in columns if column.name in _TEXT_KEYS]
            for dates in self.dates.values():
                dates.note_times(keys)
            yield pl.DataFrame(columns)
            first_row += batch.height
        for dates in self.dates.values():
            self.faults.of_columns += dates.problems()

    def _numbers(
        self,
        batch: DataFrame,
        roles: Sequence[str],
    ) -> dict[str, Series]:
        """Return the numbers by role, with the same decimal mark once one of them shows it."""
        import polars as pl

        numbers = {}
        texts = []
        n_odd = 0
        for role in roles:
            if role in _NUMBERS:
                values = batch[self.names[role]]
                texts.append(values)
                numbers[role] = numbers_of(values, self._mark)
                n_odd += numbers[role].null_count() - values.null_count()
        if self._mark is not None or not batch.height:
            return numbers
        # The usual table: all are numbers as they are.
        if not n_odd:
            self._mark = "."
            return numbers
        self._mark, unclear = decimal_mark(texts, self.table.likely_decimal)
        if self._mark is None:
            text = pl.Series([unclear])
            dot, comma = [numbers_of(text, mark).item() for mark in (".", ",")]
            raise InputError(
                f"{self.table.name}: {unclear!r} may be {dot} or {comma}; "
                "give the mark of decimals with decimal ('.' or ',')"
            )
        if self._mark == ",":
            self.notes.append("numbers are read with decimal commas")
        return self._numbers(batch, roles)


class Reader(Columns):
    """A table of signals or outcomes seen through the canonical columns it has.

    `names` are the caller's own for some roles; the others are found by their usual names.
    `guesses` and `warnings` are lines about how it is read, and about what is tolerated. `check()`
    yields keys and completes `problems`; `frames()` assumes that it is empty, and yields the roles
    of `more` too.
    """

    def __init__(
        self,
        table: Table,
        keys: Sequence[str],
        names: ColumnNames,
        *,
        outcome: bool,
    ) -> None:
        finder = Finder(table, names)
        for role in keys:
            finder.find(role)
        if outcome:
            self._find_outcome(finder)
        super().__init__(table, finder.names)
        self.keys = [role for role in keys if role in finder.names]
        self.is_complete = len(self.keys) == len(keys)
        self.outcome = [role for role in (*OUTCOME_PRICES, "win") if role in finder.names]
        self.more: list[str] = []
        or_win = ""
        if finder.missing.keys() & set(OUTCOME_PRICES) and "win" not in finder.missing:
            or_win = " (or 'win')"
        self.guesses: list[str] = []
        self.warnings: list[str] = []
        self.notes += [*table.notes, *finder.notes]
        self.problems = finder.problems(or_win)

    def _find_outcome(self, finder: Finder) -> None:
        """Find open and close, and win; what the caller names must exist, even if not needed."""
        found = [role for role in OUTCOME_PRICES if finder.find(role)]
        has_prices = len(found) == len(OUTCOME_PRICES)
        # Beside prices, a column that may be of wins is not taken for one.
        has_win = finder.find("win", is_sure=has_prices)
        for role in OUTCOME_PRICES:
            if not has_prices:
                finder.names.pop(role, None)
            if has_win and role not in finder.given:
                finder.missing.pop(role, None)
        if "win" not in finder.given:
            finder.missing.pop("win", None)

    def warn(self, *lines: str) -> None:
        """Add lines about what is tolerated."""
        self.warnings += [f"{self.table.name}: {line}" for line in lines]

    def warn_of_spellings(self, tickers: Iterable[str]) -> None:
        """Add what to know of the names of the table's tickers."""
        findings = spelling_findings(self.table.name, tickers)
        self.warnings += [finding.line for finding in findings]

    def check(self) -> Rows:
        """Yield the keys of every row, null where wrong: the first pass.

        Nothing is yielded when a key has no column; the other columns are checked all the same.
        """
        n_rows = 0
        for batch in self.batches((*self.keys, *self.outcome, *self.more)):
            n_rows += batch.height
            if self.is_complete:
                yield batch.select(self.keys)
        self.problems += self.faults.lines()
        self.guesses[:0] = [f"{self.table.name}: {note}" for note in self.notes]
        if not self.problems and not n_rows:
            self.problems.append(f"{self.table.name}: the table has no rows")

    def frames(self) -> Rows:
        """Yield keys, `won` (null: unknown) and `priced` (counts for the base win rate)."""
        import polars as pl

        won = pl.lit(False)
        priced = pl.lit(True)
        if "open" in self.outcome:
            priced = pl.all_horizontal(pl.col(*OUTCOME_PRICES).is_finite().fill_null(False))
            won = pl.when(priced).then(pl.col("close") > pl.col("open"))
        # A column of wins goes before prices, which then only say which pairs count.
        if "win" in self.outcome:
            won = pl.col("win")
        for batch in self.batches((*self.keys, *self.outcome, *self.more)):
            yield batch.select(
                *self.keys,
                won.alias("won"),
                priced.alias("priced"),
                *self.more,
            )


# --- conversions ---------------------------------------------------------------------------------

Conversion = tuple[Callable[["Series"], "Series"], Names, str]

_TEXT: Conversion = (texts_of, (), "is not text")

# What is reported of the values of dates, which `DateColumn` converts.
_NOT_DAYS = {
    "day": "is not a day; write YYYY-MM-DD or YYYYMMDD, or give --date-format",
    "date": "is not a date; write YYYY-MM-DD or YYYYMMDD, or give --date-format",
}

# By role: the conversion, the texts that stand for a null, and the fault of other values.
_CONVERSIONS: dict[str, Conversion] = {
    "algo": _TEXT,
    "variation": _TEXT,
    "ticker": (tickers_of, ("",), "is not text"),
    **dict.fromkeys(_NUMBERS, (numbers_of, MISSING_TEXTS, "is not a number")),
    "win": (wins_of, MISSING_TEXTS, "is not a win; write 0 or 1, 1 or -1, yes or no, W or L"),
    SIGNAL: (signals_of, (), "is not a signal; write 0, 1, BUY or HOLD"),
}
