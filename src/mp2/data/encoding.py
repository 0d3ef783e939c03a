"""Signals and outcomes as numbers: the step between a table of names and a packed panel.

Every source is read twice. The first pass (`scan`) checks each value and collects the names that occur; `arrange` puts
them in order; the second pass (`rows`) translates batch by batch into the positions those names were given.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mp2.data.columns import KEYS, Reader, parse_day
from mp2.data.tables import Table
from mp2.errors import InputError, ReadStoppedError

MAX_ALGOS = 64
"""The search keeps the algorithms of a group in one word of 64 bits."""

if TYPE_CHECKING:
    import polars as pl

BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.int64]

_EPOCH = date(1970, 1, 1)
_WIDE_CELLS = 1 << 20


@dataclass(slots=True)
class Names:
    """What a first pass came across: (algo, variation) in order of first appearance, days, tickers."""

    variations: dict[tuple[str, str], None] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)
    tickers: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Axes:
    """What the numbers of a panel stand for; `variations` are (algo, variation) in variation-number order."""

    algos: tuple[str, ...]
    variations: tuple[tuple[str, str], ...]
    days: tuple[date, ...]
    tickers: tuple[str, ...]


class Buys(NamedTuple):
    """Buys as positions on the axes, int64[n] each; `won` and `priced` are bool[n].

    `priced`: the (day, ticker) counts for the day's base win rate, as far as this row can tell.
    """

    variation: IndexArray
    day: IndexArray
    ticker: IndexArray
    won: BoolArray
    priced: BoolArray


def arrange(
    names: Names, algos: Sequence[str], extra_days: Iterable[date], problems: list[str]
) -> Axes:
    """Order the names: algorithms as given (all or none) or as they appeared, days and tickers ascending.

    Adds what is wrong to `problems`. Without names the axes are empty: the source has said by then what is amiss.
    """
    if not names.variations:
        return Axes((), (), (), ())
    appeared = tuple(dict.fromkeys(algo for algo, _ in names.variations))
    order = tuple(map(str, algos)) or appeared
    if algos:
        problems += _order_problems(order, appeared)
    if len(appeared) > MAX_ALGOS:
        problems.append(
            f"{len(appeared)} algorithms; at most {MAX_ALGOS} can be searched together: leave some out"
        )
    position = {algo: idx for idx, algo in enumerate(dict.fromkeys((*order, *appeared)))}
    variations = sorted(names.variations, key=lambda key: position[key[0]])
    return Axes(
        order,
        tuple(variations),
        tuple(sorted({*names.days, *extra_days})),
        tuple(sorted(names.tickers)),
    )


def _order_problems(order: Sequence[str], appeared: Sequence[str]) -> Iterator[str]:
    given, found = dict.fromkeys(order), dict.fromkeys(appeared)
    if len(given) < len(order):
        yield f"algos: {next(algo for algo in order if order.count(algo) > 1)!r} is given twice"
    for algo in given:
        if algo not in found:
            yield f"algos: {algo!r} does not occur; the algorithms are {', '.join(appeared)}"
    for algo in appeared:
        if algo not in given:
            yield f"algos: {algo!r} occurs but is not in the order given; add it"


def parse_days(days: Iterable[Any], problems: list[str]) -> list[date]:
    """The days a user names; adds a problem for each that is none."""
    parsed = [(day, parse_day(str(day))) for day in days]
    problems += [
        f"days: {day!r} is not a day; write YYYY-MM-DD or YYYYMMDD"
        for day, meaning in parsed
        if meaning is None
    ]
    return [meaning for _, meaning in parsed if meaning is not None]


# --- outcomes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Market:
    """Outcomes of every (day, ticker): bool[D, T'] each, the tickers of the axes first, then those nobody signals."""

    known: BoolArray
    won: BoolArray
    priced: BoolArray


class Outcomes:
    """A table `day, ticker` with `open, close` or `win`, kept apart from the signals."""

    def __init__(
        self, table: Table, columns: Mapping[str, str], stop: threading.Event | None
    ) -> None:
        names = {role: name for role, name in columns.items() if name in table.columns}
        self.reader = Reader(table, ("day", "ticker"), names, outcome=True, stop=stop)
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self._tickers: set[str] = set()

    def scan(self) -> None:
        """First pass: fills `problems`."""
        for batch in self.reader.check():
            self._tickers.update(_distinct(batch["ticker"]))
        self.problems += _reader_problems(self.reader)

    def load(self, axes: Axes) -> Market:
        """Second pass: the outcomes of the panel's days."""
        import polars as pl

        tickers = (*axes.tickers, *sorted(self._tickers.difference(axes.tickers)))
        market = Market(*(np.zeros((len(axes.days), len(tickers)), np.bool_) for _ in range(3)))
        tally, kind = _Tally(self.reader.table.name, self.reader.outcome), pl.Enum(tickers)
        with _unchanged(tally.name):
            for every in self.reader.rows():
                batch = every.filter(pl.col("day").is_in(axes.days))
                day, ticker = _day_codes(batch["day"], axes.days), _codes(batch["ticker"], kind)
                won, priced = tally.read(batch)
                market.known[day, ticker] = True
                market.won[day[won], ticker[won]] = True
                market.priced[day[priced], ticker[priced]] = True
        self.warnings += tally.warnings(int(market.known.sum()), "(day, ticker)")
        return market


class _Tally:
    """Counts what is tolerated in the rows of a table."""

    def __init__(self, name: str, outcome: Sequence[str] = ()) -> None:
        self.name, self.outcome = name, outcome
        self.n_rows = self.n_null_wins = self.n_unpriced = self.n_unknown = 0

    def read(self, batch: pl.DataFrame) -> tuple[BoolArray, BoolArray]:
        """`won` and `priced` of the batch's rows, nulls counted and taken for no win."""
        won, priced = batch["won"], batch["priced"]
        self.n_rows += batch.height
        self.n_null_wins += won.null_count() if "win" in self.outcome else 0
        self.n_unpriced += batch.height - int(priced.sum())
        return won.fill_null(False).to_numpy(), priced.to_numpy()

    def look_up(self, market: Market, day: IndexArray, ticker: IndexArray) -> BoolArray:
        """`won` of the buys according to the outcome table."""
        self.n_unknown += int(np.count_nonzero(~market.known[day, ticker]))
        return market.won[day, ticker]

    def warnings(self, n_distinct: int, unit: str) -> Iterator[str]:
        """One line per kind of thing tolerated; `n_distinct` is the number of different `unit` among the rows."""
        if self.n_unpriced:
            effect = (
                "left out of the base win rates" if "win" in self.outcome else "counted as no win"
            )
            yield f"{self.name}: rows with a missing or non-finite open or close: {self.n_unpriced}, {effect}"
        if self.n_null_wins:
            yield f"{self.name}: rows without a win value: {self.n_null_wins}, counted as no win"
        if self.n_unknown:
            yield f"{self.name}: buys without a row in the outcomes: {self.n_unknown}, counted as no win"
        if self.n_rows > n_distinct:
            yield f"{self.name}: duplicate rows of one {unit}: {self.n_rows - n_distinct}, collapsed"


# --- signals -------------------------------------------------------------------------------------------------------


class LongSignals:
    """One row per buy: `algo, variation, day, ticker` and, without an outcome table, `open, close` or `win`.

    `problems` is filled by `scan`, `tally` by `rows`. Raises `InputError` when the table changes between the passes.
    """

    def __init__(
        self,
        table: Table,
        columns: Mapping[str, str],
        stop: threading.Event | None,
        *,
        with_outcome: bool,
    ) -> None:
        self.reader = Reader(table, KEYS, columns, outcome=with_outcome, stop=stop)
        self.tally = _Tally(table.name, self.reader.outcome)
        self.problems: list[str] = []

    def scan(self) -> Names:
        """First pass: the names that occur."""
        keys: dict[str, None] = {}
        names = Names()
        for batch in self.reader.check():
            keys.update(dict.fromkeys(_distinct(_variation_runs(batch)[0])))
            names.days.update(_distinct(batch["day"]))
            names.tickers.update(_distinct(batch["ticker"]))
        names.variations = dict.fromkeys(map(_split_key, keys))
        self.problems += _reader_problems(self.reader)
        return names

    def rows(self, axes: Axes, market: Market | None) -> Iterator[Buys]:
        """Second pass: every row as positions; outcomes come from `market` when there is one."""
        import polars as pl

        variations = pl.Enum([_joined_key(*key) for key in axes.variations])
        tickers = pl.Enum(axes.tickers)
        with _unchanged(self.reader.table.name):
            for batch in self.reader.rows():
                keys, n_rows = _variation_runs(batch)
                variation = np.repeat(_codes(keys, variations), n_rows)
                day, ticker = _day_codes(batch["day"], axes.days), _codes(batch["ticker"], tickers)
                won, priced = self.tally.read(batch)
                yield Buys(
                    variation,
                    day,
                    ticker,
                    won if market is None else self.tally.look_up(market, day, ticker),
                    priced,
                )


class WideSignals:
    """A boolean pandas frame as vectorbt makes it: index = time, columns = (algo, parameter levels, ticker or symbol).

    A variation is named by its parameter values joined with '-'; parameters a column leaves null are skipped. Cells are
    true, false, 1, 0 or null. Every column and index entry counts, also without a buy.
    """

    def __init__(
        self, frame: Any, columns: Mapping[str, str], stop: threading.Event | None
    ) -> None:
        self.name, self.frame, self.stop = "signals", frame, stop
        self.tally = _Tally(self.name)
        self.problems: list[str] = []
        self._levels = list(frame.columns.names)
        self._algo = columns.get("algo", "algo")
        self._ticker = columns.get("ticker") or next(
            (name for name in self._levels if name in ("ticker", "symbol")), "ticker"
        )

    def scan(self) -> Names:
        """First pass: checks every cell; the names are those of columns and index."""
        names = Names()
        self.problems += self._level_problems()
        self._days = self._row_days()
        names.days.update(day for day in self._days if day is not None)
        if not self.problems:
            names.tickers.update(self._texts(self._ticker))
            names.variations = dict.fromkeys(self._variations())
            self.problems += self._clashes()
        self.problems += self._cell_problems()
        return names

    def rows(self, axes: Axes, market: Market | None) -> Iterator[Buys]:
        """Second pass: every true cell as positions."""
        if market is None:
            raise InputError(f"{self.name}: a wide frame needs outcomes")
        variation = _positions(self._variations(), axes.variations)
        ticker = _positions(self._texts(self._ticker), axes.tickers)
        day = _positions(self._days, axes.days)
        for first_column, block in self._blocks():
            row, column = np.nonzero(_cells(block)[0])
            column += first_column
            won = self.tally.look_up(market, day[row], ticker[column])
            self.tally.n_rows += len(row)
            yield Buys(
                variation[column], day[row], ticker[column], won, np.ones(len(row), np.bool_)
            )

    def _level_problems(self) -> Iterator[str]:
        shown = ", ".join(map(str, self._levels))
        if None in self._levels or len(set(self._levels)) < len(self._levels):
            yield f"{self.name}: every column level needs a name of its own; the levels are {shown}"
            return
        for role, level in (("algo", self._algo), ("ticker", self._ticker)):
            if level not in self._levels:
                yield f"{self.name}: no column level {level!r}; the levels are {shown}; name it with columns ({role}=NAME)"
            elif self._nulls(level).any():
                yield f"{self.name}: column level {level!r} holds nulls, the first in column {self._nulls(level).argmax() + 1}"
        if len(self._levels) < 3:
            yield f"{self.name}: a wide frame needs a parameter level beside algo and ticker; the levels are {shown}"
        if not all(self.frame.shape):
            yield f"{self.name}: the frame has no {'columns' if self.frame.shape[0] else 'rows'}"

    def _row_days(self) -> list[date | None]:
        days = [parse_day(str(entry)) for entry in self.frame.index]
        wrong = [idx for idx, day in enumerate(days) if day is None]
        if wrong:
            self.problems.append(
                f"{self.name}: index entry {wrong[0] + 1}: {str(self.frame.index[wrong[0]])!r} is not a day; "
                f"use timestamps, YYYY-MM-DD or YYYYMMDD ({len(wrong)} such entries)"
            )
        return days

    def _values(self, level: str) -> Any:
        return self.frame.columns.get_level_values(level)

    def _nulls(self, level: str) -> BoolArray:
        return np.asarray(self._values(level).isna())

    def _texts(self, level: str) -> list[str]:
        return [str(value) for value in self._values(level)]

    def _variations(self) -> list[tuple[str, str]]:
        """The variation of every column."""
        parameters = [level for level in self._levels if level not in (self._algo, self._ticker)]
        parts = [
            [
                None if null else text
                for text, null in zip(self._texts(level), self._nulls(level), strict=True)
            ]
            for level in parameters
        ]
        names = (
            "-".join(part for part in column if part is not None)
            for column in zip(*parts, strict=True)
        )
        return list(zip(self._texts(self._algo), names, strict=True))

    def _clashes(self) -> Iterator[str]:
        """Variations with different parameters must not share a name."""
        named: dict[tuple[str, str], Any] = {}
        own_levels = [level for level in self._levels if level != self._ticker]
        for name, *parameters in zip(
            self._variations(), *map(self._texts, own_levels), strict=True
        ):
            if named.setdefault(name, parameters) != parameters:
                yield f"{self.name}: two variations of {name[0]!r} would both be called {name[1]!r}; rename a parameter value"
                return

    def _blocks(self) -> Iterator[tuple[int, Any]]:
        n_rows, n_columns = self.frame.shape
        width = max(1, _WIDE_CELLS // max(1, n_rows))
        for first in range(0, n_columns, width):
            if self.stop is not None and self.stop.is_set():
                raise ReadStoppedError(f"{self.name}: stopped while reading; nothing was searched")
            yield first, self.frame.iloc[:, first : first + width]

    def _cell_problems(self) -> list[str]:
        first, n_bad = "", 0
        for _, block in self._blocks():
            bad = _cells(block)[1]
            if bad.any() and not first:
                row, column = np.argwhere(bad)[0]
                where = f"column {', '.join(map(str, block.columns[column]))}, row {row + 1}"
                first = f"{self.name}: {where}: {block.iat[row, column]} is neither true nor false"
            n_bad += int(np.count_nonzero(bad))
        return [f"{first} ({n_bad} such cells)" if n_bad > 1 else first] if first else []


def _cells(block: Any) -> tuple[BoolArray, BoolArray]:
    """Which cells of a pandas frame are true, and which are neither true, false nor null."""
    values = block.to_numpy()
    if values.dtype == np.bool_:
        return values, np.zeros_like(values)
    null = block.isna().to_numpy()
    values = np.where(null, 0, values)
    bought = np.asarray(values == 1, np.bool_)
    return bought, ~(bought | np.asarray(values == 0, np.bool_))


def _positions(names: Sequence[Any], axis: Sequence[Any]) -> IndexArray:
    position = {name: idx for idx, name in enumerate(axis)}
    return np.fromiter((position[name] for name in names), np.int64, len(names))


def _reader_problems(reader: Reader) -> list[str]:
    problems = [*reader.problems, *reader.faults.lines()]
    return (
        problems if problems or reader.n_rows else [f"{reader.table.name}: the table has no rows"]
    )


# --- columns to positions ------------------------------------------------------------------------------------------


def _distinct(values: pl.Series) -> list[Any]:
    return values.unique(maintain_order=True).drop_nulls().to_list()


def _variation_runs(batch: pl.DataFrame) -> tuple[pl.Series, IndexArray]:
    """Runs of rows of one variation, since most tables are in that order: (algo, variation) as one text, and the lengths.

    No other pair shares the text: the length of algo tells where it ends.
    """
    import polars as pl

    algo, variation = pl.col("algo"), pl.col("variation")
    changed = (algo.ne_missing(algo.shift()) | variation.ne_missing(variation.shift())).alias(
        "changed"
    )
    starts = batch.select(changed)["changed"].to_numpy().copy()
    starts[:1] = True
    runs = batch.filter(pl.Series(starts))
    keys = runs.select(
        pl.concat_str(algo.str.len_chars(), pl.lit(":"), algo, variation).alias("key")
    )["key"]
    return keys, np.diff(np.flatnonzero(starts), append=batch.height)


def _joined_key(algo: str, variation: str) -> str:
    return f"{len(algo)}:{algo}{variation}"


def _split_key(key: str) -> tuple[str, str]:
    length, _, names = key.partition(":")
    return names[: int(length)], names[int(length) :]


def _codes(values: pl.Series, kind: pl.Enum) -> IndexArray:
    return values.cast(kind).to_physical().to_numpy().astype(np.int64)


def _day_codes(values: pl.Series, days: Sequence[date]) -> IndexArray:
    numbers = np.array([(day - _EPOCH).days for day in days], np.int32)
    wanted = values.to_physical().to_numpy()
    codes = np.searchsorted(numbers, wanted).clip(max=len(numbers) - 1)
    if (numbers[codes] != wanted).any():
        raise LookupError(str(values.name))
    return codes


@contextmanager
def _unchanged(name: str) -> Iterator[None]:
    """A name the first pass did not meet means that the source changed in between."""
    from polars.exceptions import InvalidOperationError

    try:
        yield
    except (InvalidOperationError, LookupError) as error:
        raise InputError(
            f"{name}: the table changed while it was read; read it again when nothing writes to it"
        ) from error
