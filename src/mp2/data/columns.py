"""The columns of a table: found by name, renamed, converted and checked.

`algo`, `variation` and `ticker` become text, `day` and `date` dates, `win` a boolean, prices and
`volume` floats of their own width: two prices are compared as they were stored. Of every kind of
fault the count and the first row, from 1, are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mp2._document import Names
from mp2.data.column_names import ColumnNames, ambiguous_lines, missing_line
from mp2.data.dates import dates_of
from mp2.data.numbers import numbers_of, wins_of
from mp2.data.signal_column import ROLE as SIGNAL
from mp2.data.signal_column import signals_of
from mp2.data.tables import Rows, Table
from mp2.data.texts import has_meaning, texts_of, tickers_of

if TYPE_CHECKING:
    from polars import Series

KEYS = ("algo", "variation", "day", "ticker")
OUTCOME_PRICES = ("open", "close")
CANONICAL = (*KEYS, *OUTCOME_PRICES, "win")

# Roles that no row may leave out; prices, wins and volumes may be unknown.
_REQUIRED = (*KEYS, "date")
_MAX_LENGTH_SHOWN = 80
_MAX_COLUMNS_SHOWN = 12
_MISSING_TEXTS = ("", "na", "n/a", "nan", "null", "none")


# --- faults --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Faults:
    """What is wrong with a table's values, by column and kind: the first example and the count."""

    table: str
    first_line: dict[tuple[str, str], str] = field(default_factory=dict)
    n_rows: Counter[tuple[str, str]] = field(default_factory=Counter)

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
        one = values[idx : idx + 1]
        # Python's dates end with the year 9999, and polars panics when it converts later times.
        is_date = one.dtype in (pl.Date, pl.Datetime)
        if one.dtype == pl.Duration or (is_date and not one.dt.year().is_between(1, 9999).any()):
            one = one.to_physical()
        value = one.to_list()[0]
        text = "null" if value is None else repr(value)
        if len(text) > _MAX_LENGTH_SHOWN:
            text = f"{text[:_MAX_LENGTH_SHOWN]}..."
        row = first_row + idx
        self.first_line[kind] = f"{self.table}: column {values.name!r}, row {row}: {text} {what}"

    def lines(self) -> list[str]:
        """Return one line for each column and kind, in the order they were noted."""
        lines = []
        for kind, line in self.first_line.items():
            n_rows = self.n_rows[kind]
            lines.append(f"{line} ({n_rows} such rows)" if n_rows > 1 else line)
        return lines


# --- reading -------------------------------------------------------------------------------------


class Columns:
    """Some columns of a table, converted; `names` maps their roles to the table's own names.

    `batches` notes every fault of every value in `faults`.
    """

    def __init__(
        self,
        table: Table,
        names: ColumnNames,
    ) -> None:
        self.table = table
        self.names = names
        self.faults = Faults(table.name)

    def batches(self, roles: Sequence[str]) -> Rows:
        """Yield the rows in stored order, in batches, with the roles as column names.

        Values that are wrong are null.
        """
        import polars as pl

        if not roles:
            return
        first_row = 1
        # One column of the table may serve several roles.
        names = dict.fromkeys(self.names[role] for role in roles)
        for batch in self.table.batches(list(names)):
            columns = []
            for role in roles:
                convert, missing, what = _CONVERSIONS[role]
                values = batch[self.names[role]]
                converted = convert(values).alias(role)
                columns.append(converted)
                if not converted.null_count():
                    continue
                nulls = converted.is_null()
                misread = nulls & has_meaning(values, missing)
                self.faults.note(what, misread, values, first_row)
                if role in _REQUIRED:
                    line = f"is no {role}; every row needs one"
                    self.faults.note(
                        line,
                        nulls & ~misread,
                        values,
                        first_row,
                    )
            yield pl.DataFrame(columns)
            first_row += batch.height


class Reader(Columns):
    """A table of signals or outcomes seen through the canonical columns it has.

    `names` maps canonical columns to those of the table, which has the others under their own
    names. `check()` yields keys and completes `problems`; `frames()` assumes that it is empty, and
    yields the roles of `more` too.
    """

    def __init__(
        self,
        table: Table,
        keys: Sequence[str],
        names: ColumnNames,
        *,
        outcome: bool,
    ) -> None:
        wanted = {role: names.get(role, role) for role in CANONICAL}
        present = {role: name for role, name in wanted.items() if name in table.columns}
        super().__init__(table, present)
        self.keys = [role for role in keys if role in present]
        self.is_complete = len(self.keys) == len(keys)
        self.outcome: list[str] = []
        self.more: list[str] = []
        if outcome and present.keys() >= set(OUTCOME_PRICES):
            self.outcome += OUTCOME_PRICES
        if outcome and "win" in present:
            self.outcome.append("win")
        needed = list(keys)
        or_win = ""
        if outcome and not self.outcome:
            needed += OUTCOME_PRICES
            or_win = " (or 'win')"
        # A column that the caller names must exist, even where another one would do.
        used = CANONICAL if outcome else keys
        needed += [role for role in names if role in used]
        self.problems = [
            missing_line(
                table,
                role,
                wanted[role],
                or_win if role in OUTCOME_PRICES else "",
            )
            for role in dict.fromkeys(needed)
            if role not in present
        ]
        used_names = [present[role] for role in (*self.keys, *self.outcome)]
        self.problems += ambiguous_lines(table, used_names)

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
_NUMBER: Conversion = (numbers_of, _MISSING_TEXTS, "is not a number")

# By role: the conversion, the texts that stand for a null, and the fault of other values.
_CONVERSIONS: dict[str, Conversion] = {
    "algo": _TEXT,
    "variation": _TEXT,
    "ticker": (tickers_of, ("",), "is not text"),
    "day": (dates_of, (), "is not a day; write YYYY-MM-DD or YYYYMMDD"),
    "date": (dates_of, (), "is not a date; write YYYY-MM-DD or YYYYMMDD"),
    "open": _NUMBER,
    "high": _NUMBER,
    "low": _NUMBER,
    "close": _NUMBER,
    "volume": _NUMBER,
    "other_close": _NUMBER,
    "win": (wins_of, _MISSING_TEXTS, "is not a win; write 0, 1, true or false"),
    SIGNAL: (signals_of, (), "is not a signal; write 0, 1, BUY or HOLD"),
}
