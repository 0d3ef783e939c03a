"""The canonical columns of a table: found, renamed, converted and checked.

`algo`, `variation`, `ticker` become text, `day` and `date` dates, `win` a boolean, prices and `volume` floats of their own
width (two prices are compared as they were stored). Of everything that is wrong the count and the first row, from 1, are kept.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mp2.data.tables import Table, series
from mp2.errors import ReadStoppedError

if TYPE_CHECKING:
    import polars as pl

KEYS = ("algo", "variation", "day", "ticker")
PRICES = ("open", "close")
CANONICAL = (*KEYS, *PRICES, "win")

_ALWAYS_GIVEN = (*KEYS, "date")
_SHOWN_LENGTH = 80
_DAY_NS = 86_400 * 10**9
_MISSING_TEXTS = ("", "na", "n/a", "nan", "null", "none")
_WIN_TEXTS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclass(slots=True)
class _Fault:
    row: int
    value: Any
    n: int = 0


@dataclass(slots=True)
class Faults:
    """What is wrong with a table's values: the count and first example per column and kind."""

    table: str
    found: dict[tuple[str, str], _Fault] = field(default_factory=dict)

    def note(self, what: str, bad: pl.Series, values: pl.Series, first_row: int) -> None:
        """Add the rows where `bad` is true; `first_row` is the number of the batch's first row, from 1."""
        n = int(bad.sum())
        if n:
            idx = bad.arg_max() or 0
            value = _as_python(values.slice(idx, 1))
            self.found.setdefault((values.name, what), _Fault(first_row + idx, value)).n += n

    def lines(self) -> list[str]:
        """One line per column and kind, in the order found."""
        return [self._line(column, what, fault) for (column, what), fault in self.found.items()]

    def _line(self, column: str, what: str, fault: _Fault) -> str:
        value = "null" if fault.value is None else repr(fault.value)
        shown = value if len(value) <= _SHOWN_LENGTH else f"{value[:_SHOWN_LENGTH]}..."
        more = f" ({fault.n} such rows)" if fault.n > 1 else ""
        return f"{self.table}: column {column!r}, row {fault.row}: {shown} {what}{more}"


def _as_python(one: pl.Series) -> Any:
    """The value of a series of one; of a time that Python has no type for (its dates end with the year 9999) the number."""
    import polars as pl

    if not one.dtype.is_temporal():
        return one.to_list()[0]
    number = one.to_physical()
    if one.dtype in (pl.Date, pl.Datetime):
        is_python = one.dt.year().is_between(1, 9999)
    else:
        is_python = number.is_between(0, _DAY_NS - 1) if one.dtype == pl.Time else number.is_null()
    return (one if is_python.fill_null(False).all() else number).to_list()[0]


class Columns:
    """Some columns of a table, converted: `names` maps their roles to the table's own names.

    `batches` notes every fault of every value in `faults`. Between batches it raises `ReadStoppedError` once `stop` is set.
    """

    def __init__(
        self, table: Table, names: Mapping[str, str], stop: threading.Event | None
    ) -> None:
        self.table, self.names, self.stop, self.faults = table, names, stop, Faults(table.name)

    def batches(self, roles: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The rows in stored order, a batch at a time, with the roles as column names; values that are wrong are null."""
        import polars as pl

        if not roles:
            return
        first_row = 1
        for batch in self.table.read(list(dict.fromkeys(self.names[role] for role in roles))):
            if self.stop is not None and self.stop.is_set():
                raise ReadStoppedError(
                    f"{self.table.name}: stopped while reading; nothing was searched"
                )
            columns = [self._canonical(role, batch[self.names[role]], first_row) for role in roles]
            yield pl.DataFrame(columns)
            first_row += batch.height

    def _canonical(self, role: str, values: pl.Series, first_row: int) -> pl.Series:
        convert, what = _CONVERSIONS[role]
        converted, bad = convert(values)
        if bad is not None:
            self.faults.note(what, bad, values, first_row)
        if role in _ALWAYS_GIVEN and converted.null_count():
            nulls = converted.is_null() if bad is None else converted.is_null() & ~bad
            self.faults.note(f"is no {role}; every row needs one", nulls, values, first_row)
        return converted.alias(role)


class Reader(Columns):
    """A table of signals or outcomes seen through the canonical columns it has.

    `names` maps the canonical columns in use to those of the table; `problems` says which are missing. `check()` yields
    keys and notes every fault of every value; `rows()` yields them with `won` and `priced` and assumes a clean `check`.
    """

    def __init__(
        self,
        table: Table,
        keys: Sequence[str],
        names: Mapping[str, str],
        *,
        outcome: bool,
        stop: threading.Event | None,
    ) -> None:
        wanted = {role: names.get(role, role) for role in CANONICAL}
        super().__init__(
            table, {role: name for role, name in wanted.items() if name in table.columns}, stop
        )
        self.n_rows = 0
        self.keys = [role for role in keys if role in self.names]
        self.absent = [role for role in keys if role not in self.names]
        self.outcome = _outcome_columns(self.names) if outcome else ()
        missing = [*self.absent]
        if outcome and not self.outcome:
            missing += [role for role in PRICES if role not in self.names]
        used = {*keys, *(CANONICAL if outcome else ())}
        missing += [
            role
            for role in names
            if role in used and role not in self.names and role not in missing
        ]
        self.problems = [
            _missing_line(table, role, wanted[role], found_any=bool(self.outcome))
            for role in missing
        ]
        self.problems += ambiguous_lines(
            table, [self.names[role] for role in (*self.keys, *self.outcome)]
        )

    def check(self) -> Iterator[pl.DataFrame]:
        """First pass: yields the keys, null where missing or wrong; `faults` is complete when it ends."""
        import polars as pl

        absent = [
            pl.lit(None, pl.Date if role == "day" else pl.String).alias(role)
            for role in self.absent
        ]
        for batch in self.batches((*self.keys, *self.outcome)):
            yield batch.select(*self.keys, *absent)
            self.n_rows += batch.height

    def rows(self) -> Iterator[pl.DataFrame]:
        """Keys, `won` (boolean, null when unknown) and `priced` (the pair counts for the base win rate)."""
        for batch in self.batches((*self.keys, *self.outcome)):
            yield batch.select(*self.keys, *_outcome_expressions(self.outcome))


def _outcome_columns(names: Mapping[str, str]) -> tuple[str, ...]:
    prices = PRICES if all(role in names for role in PRICES) else ()
    return (*prices, "win") if "win" in names else prices


def _outcome_expressions(outcome: Sequence[str]) -> list[pl.Expr]:
    import polars as pl

    if not outcome:
        return [pl.lit(False).alias("won"), pl.lit(True).alias("priced")]
    finite = pl.all_horizontal(pl.col(role).is_finite().fill_null(False) for role in PRICES)
    priced = finite if "open" in outcome else pl.lit(True)
    won = (
        pl.col("win")
        if "win" in outcome
        else pl.when(finite).then(pl.col("close") > pl.col("open"))
    )
    return [won.alias("won"), priced.alias("priced")]


def _missing_line(table: Table, role: str, name: str, *, found_any: bool) -> str:
    instead = " (or 'win')" if role in PRICES and not found_any else ""
    found = ", ".join(map(str, table.columns)) or "none"
    return f"{table.name}: missing column {name!r}{instead}; it has {found}; give another name with columns ({role}=NAME)"


def ambiguous_lines(table: Table, used: Sequence[str]) -> list[str]:
    """A problem for each name in use that several columns bear."""
    return [
        f"{table.name}: {table.columns.count(name)} columns are called {name!r}; rename all but one"
        for name in dict.fromkeys(used)
        if table.columns.count(name) > 1
    ]


Converted = tuple["pl.Series", "pl.Series | None"]


def _text(values: pl.Series) -> Converted:
    import polars as pl

    if values.dtype == pl.String:
        return values, None
    if values.dtype.is_nested() or values.dtype == pl.Binary:
        return pl.Series(values.name, [None] * len(values), dtype=pl.String), values.is_not_null()
    if values.dtype == pl.Object:
        return series(
            values.name, [None if value is None else str(value) for value in values]
        ), None
    try:
        return (values.fill_nan(None) if values.dtype.is_float() else values).cast(pl.String), None
    except pl.exceptions.PolarsError:  # an extension type of another library
        return pl.Series(values.name, [None] * len(values), dtype=pl.String), values.is_not_null()


def _tickers(values: pl.Series) -> Converted:
    """Text; an empty one is none, as it is in CSV without quotes."""
    text, bad = _text(values)
    empty = text == ""
    return (text.set(empty.fill_null(False), None) if empty.any() else text), bad


def _dates(values: pl.Series) -> Converted:
    """Dates stay, timestamps give their local day; text and whole numbers are read as YYYY-MM-DD... or YYYYMMDD."""
    import polars as pl

    if values.dtype in (pl.Date, pl.Datetime):
        in_range = values.dt.year().is_between(1, 9999).fill_null(False)
        return values.dt.date().set(~in_range, None), ~in_range & values.is_not_null()
    text, unreadable = _text(values)
    if unreadable is not None:
        return pl.Series(values.name, [None] * len(values), dtype=pl.Date), unreadable
    if values.dtype.is_float():
        text = text.str.strip_suffix(".0")
    distinct = text.unique().drop_nulls()
    if distinct.is_empty():
        return text.cast(pl.Date), None
    dates = pl.Series([parse_day(day) for day in distinct], dtype=pl.Date)
    parsed = text.replace_strict(distinct, dates, default=None, return_dtype=pl.Date)
    return parsed, parsed.is_null() & text.is_not_null()


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}([T ].+)?|\d{8}")


@lru_cache(maxsize=1 << 14)  # sources name the same few thousand days over and over
def parse_day(text: str) -> date | None:
    """The day of `YYYY-MM-DD`, optionally with a time behind it, or of `YYYYMMDD`; None for anything else."""
    trimmed = text.strip()
    if not _DAY.fullmatch(trimmed):
        return None
    try:
        return datetime.fromisoformat(trimmed).date()
    except ValueError:
        return None


def _prices(values: pl.Series) -> Converted:
    import polars as pl

    if values.dtype.is_float():
        return values, None
    if values.dtype.is_numeric() or values.dtype == pl.Null:
        return values.cast(pl.Float64), None
    if values.dtype != pl.String:
        return pl.Series(values.name, [None] * len(values), dtype=pl.Float64), values.is_not_null()
    numbers = values.cast(pl.Float64, strict=False)
    if numbers.null_count() == values.null_count():
        return numbers, None
    text = values.str.strip_chars()
    numbers = text.cast(pl.Float64, strict=False)
    return numbers, _unread(numbers, text)


def _wins(values: pl.Series) -> Converted:
    import polars as pl

    if values.dtype == pl.Boolean:
        return values, None
    text, unreadable = _text(values.cast(pl.Float64) if values.dtype.is_decimal() else values)
    if unreadable is not None:
        return text.cast(pl.Boolean), unreadable
    text = text.str.strip_chars().str.to_lowercase()
    wins = text.replace_strict(
        list(_WIN_TEXTS), list(_WIN_TEXTS.values()), default=None, return_dtype=pl.Boolean
    )
    return wins, _unread(wins, text)


def _unread(converted: pl.Series, text: pl.Series) -> pl.Series | None:
    """Rows whose text means something that was not understood."""
    if not converted.null_count():
        return None
    return (
        converted.is_null()
        & text.is_not_null()
        & ~text.str.to_lowercase().is_in(_MISSING_TEXTS).fill_null(True)
    )


_CONVERSIONS: dict[str, tuple[Callable[[pl.Series], Converted], str]] = {
    "algo": (_text, "is not text"),
    "variation": (_text, "is not text"),
    "ticker": (_tickers, "is not text"),
    "day": (_dates, "is not a day; write YYYY-MM-DD or YYYYMMDD"),
    "date": (_dates, "is not a date; write YYYY-MM-DD or YYYYMMDD"),
    **dict.fromkeys(("open", "high", "low", "close", "volume"), (_prices, "is not a number")),
    "win": (_wins, "is not a win; write 0, 1, true or false"),
}
