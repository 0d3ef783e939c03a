"""Signals and outcomes as numbers: the step from a table of names to a packed panel.

Every source is read twice. The first pass (`scan`) checks each value and collects the names;
`arrange` orders them into axes; the second pass (`rows`) translates, batch by batch, into positions
on these axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mp2._document import Names
from mp2.data import signal_column
from mp2.data.arrays import BoolArray, IndexArray
from mp2.data.column_names import ColumnNames, mistaken
from mp2.data.columns import KEYS, Reader
from mp2.data.dates import setting_day
from mp2.data.signal_table import Key
from mp2.data.tables import Rows, Table
from mp2.data.ticker_keys import (
    guesses_text,
    joined,
    nothing_joined,
    positions_by_spelling,
    share_text,
    trimmed,
)
from mp2.errors import InputError

if TYPE_CHECKING:
    import polars as pl

# The search keeps the algorithms of a group in one word of 64 bits.
MAX_ALGOS = 64


@dataclass(slots=True)
class FoundNames:
    """The names of a first pass: variations in order of first appearance, days, tickers.

    `shown`: what the panel calls a ticker, by default its name without the blanks around it.
    """

    variations: dict[Key, None] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)
    tickers: set[str] = field(default_factory=set)
    shown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Axes:
    """What the positions of a panel stand for; `variations` is in variation-number order.

    `spellings`: the position of every ticker as the table of signals writes it.
    """

    algos: Names = ()
    variations: tuple[Key, ...] = ()
    days: tuple[date, ...] = ()
    tickers: Names = ()
    spellings: dict[str, int] = field(default_factory=dict)


class Buys(NamedTuple):
    """Rows as positions on the axes, int64[n] each; `won`, `priced` and `bought` are bool[n].

    `priced`: the (day, ticker) counts for the day's base win rate, as far as this row shows.
    `bought` is None when every row is a buy.
    """

    variation: IndexArray
    day: IndexArray
    ticker: IndexArray
    won: BoolArray
    priced: BoolArray
    bought: BoolArray | None = None


def arrange(
    names: FoundNames,
    algos: Sequence[str],
    extra_days: Iterable[date],
    problems: list[str],
) -> Axes:
    """Order the names: algorithms as in `algos` or as they appeared, days and tickers ascending.

    Adds what is wrong to `problems`. Without names the axes are empty: a source reports itself that
    it has no rows.
    """
    if not names.variations:
        return Axes()
    appeared = list(dict.fromkeys(algo for algo, _ in names.variations))
    order = [str(algo) for algo in algos] or appeared
    for algo in dict.fromkeys(order):
        if order.count(algo) > 1:
            problems.append(f"algos: {algo!r} is given twice")
        if algo not in appeared:
            problems.append(
                f"algos: {algo!r} does not occur; the algorithms are {', '.join(appeared)}"
            )
    problems += [
        f"algos: {algo!r} occurs but is not in the order given; add it"
        for algo in appeared
        if algo not in order
    ]
    if len(appeared) > MAX_ALGOS:
        problems.append(
            f"{len(appeared)} algorithms; at most {MAX_ALGOS} can be searched together: "
            "leave some out"
        )
    shown = trimmed(names.tickers) | names.shown
    tickers = tuple(sorted(set(shown.values())))
    # Algorithms that `algos` lacks are a problem, but have a place for the sort.
    axis = list(dict.fromkeys([*order, *appeared]))
    return Axes(
        algos=tuple(order),
        variations=tuple(sorted(names.variations, key=lambda key: axis.index(key[0]))),
        days=tuple(sorted(names.days.union(extra_days))),
        tickers=tickers,
        spellings=positions_by_spelling(shown, tickers),
    )


def parse_days(
    days: Iterable[Any],
    problems: list[str],
    date_format: str | None = None,
) -> list[date]:
    """Return the days of a setting; adds a problem for each value that is not a day."""
    parsed = [setting_day("days", day, problems, date_format) for day in days]
    return [day for day in parsed if day is not None]


# --- outcomes ------------------------------------------------------------------------------------


class Market(NamedTuple):
    """The outcomes of every (day, ticker): bool[D, T'] each.

    The tickers of the axes come first, then those that only the outcome table has.
    """

    known: BoolArray
    won: BoolArray
    priced: BoolArray


class Outcomes(Reader):
    """A table `day, ticker` with `open, close` or `win`.

    It is separate from the signals, or `repeats` the outcomes in the rows of signals.
    """

    def __init__(
        self,
        table: Table,
        columns: ColumnNames,
        *,
        repeats: bool = False,
    ) -> None:
        # A name given for a column of the signals need not be one of this table.
        names = {role: name for role, name in columns.items() if name in table.columns}
        super().__init__(table, ("day", "ticker"), names, outcome=True)
        self.repeats = repeats
        self.tickers: set[str] = set()
        self.days: set[date] = set()

    def scan(self) -> None:
        """Check every value and collect days and tickers: the first pass."""
        for batch in self.check():
            self.tickers.update(distinct(batch["ticker"]))
            self.days.update(distinct(batch["day"]))
        # A table of signals that holds the outcomes too reports its names itself.
        if not self.repeats:
            self.warn_of_spellings(self.tickers)

    def join(self, signals: str, names: FoundNames) -> None:
        """Give the tickers of the signals the spelling of this table; notes what does not match."""
        own = set(trimmed(self.tickers).values())
        theirs = trimmed(names.tickers)
        spelling = joined(theirs.values(), own)
        for ticker, name in theirs.items():
            names.shown[ticker] = spelling.get(name, name)
        # A table without tickers is a problem of its own.
        if own and theirs and not spelling:
            self.problems.append(nothing_joined(signals, theirs.values(), self.table.name, own))
        guesses = guesses_text(spelling)
        if guesses:
            self.warnings.append(f"{signals}: {guesses}")
        unmatched = set(theirs.values()).difference(spelling)
        if unmatched:
            text = share_text(unmatched, len(set(theirs.values())))
            self.warnings.append(
                f"{signals}: no row in the outcomes for {text}; their buys count as no win"
            )

    def load(self, axes: Axes) -> Market:
        """Return the outcomes of the panel's days: the second pass."""
        import polars as pl

        shown = trimmed(self.tickers)
        others = set(shown.values()).difference(axes.tickers)
        tickers = [*axes.tickers, *sorted(others)]
        spellings = positions_by_spelling(shown, tickers)
        market = Market(*np.zeros((3, len(axes.days), len(tickers)), np.bool_))
        tally = tally_of(self)
        with unchanged(tally.name):
            for batch in self.frames():
                # The table may have days that the panel lacks.
                rows = batch.filter(pl.col("day").is_in(axes.days))
                day = day_positions(rows["day"], axes.days)
                ticker = positions(rows["ticker"], spellings)
                won, priced = tally.read(rows)
                market.known[day, ticker] = True
                market.won[day[won], ticker[won]] = True
                market.priced[day[priced], ticker[priced]] = True
        n_distinct = tally.n_rows if self.repeats else int(market.known.sum())
        self.warn(*tally.warnings(n_distinct, "(day, ticker)"))
        return market


@dataclass(slots=True)
class Tally:
    """Counts what is tolerated in the rows of a table; `has_win`: it has a column of wins."""

    name: str
    has_win: bool = False
    n_rows: int = 0
    n_null_wins: int = 0
    n_unpriced: int = 0
    n_unknown: int = 0
    n_not_bought: int = 0

    def read(self, batch: pl.DataFrame) -> tuple[BoolArray, BoolArray]:
        """Return `won` and `priced` of the rows; an unknown win counts as no win."""
        won = batch["won"]
        priced = batch["priced"].to_numpy()
        self.n_rows += batch.height
        self.n_unpriced += batch.height - int(priced.sum())
        # Without a column of wins, missing prices are counted instead.
        if self.has_win:
            self.n_null_wins += won.null_count()
        return won.fill_null(False).to_numpy(), priced

    def look_up(
        self,
        market: Market,
        day: IndexArray,
        ticker: IndexArray,
        bought: BoolArray | None,
    ) -> BoolArray:
        """Return `won` of rows according to the outcome table."""
        is_unknown = ~market.known[day, ticker]
        if bought is not None:
            is_unknown &= bought
        self.n_unknown += int(np.count_nonzero(is_unknown))
        return market.won[day, ticker]

    def warnings(
        self,
        n_distinct: int,
        unit: str,
    ) -> Iterator[str]:
        """Yield a line for each kind; the rows have `n_distinct` different `unit`."""
        effect = "left out of the base win rates" if self.has_win else "counted as no win"
        n_duplicates = self.n_rows - self.n_not_bought - n_distinct
        if self.n_unpriced:
            yield f"rows with a missing or non-finite open or close: {self.n_unpriced}, {effect}"
        if self.n_null_wins:
            yield f"rows without a win value: {self.n_null_wins}, counted as no win"
        if self.n_unknown:
            yield f"buys without a row in the outcomes: {self.n_unknown}, counted as no win"
        if n_duplicates > 0:
            yield f"duplicate rows of one {unit}: {n_duplicates}, collapsed"


def tally_of(reader: Reader) -> Tally:
    """Return an empty tally for the rows of a reader."""
    return Tally(reader.table.name, "win" in reader.outcome)


# --- signals -------------------------------------------------------------------------------------


class LongSignals(Reader):
    """One row per buy: `algo, variation, day, ticker` and, if wanted, `open, close` or `win`.

    A column of signals may say that some rows are no buys (`mp2.data.signal_column`). `scan`
    completes `problems`; `rows` counts in `tally`. `new_day`, if not empty, says on which day the
    signals of a day count; those of other days are left out.
    """

    def __init__(
        self,
        table: Table,
        columns: ColumnNames,
        *,
        with_outcome: bool,
    ) -> None:
        names = {role: name for role, name in columns.items() if role != signal_column.ROLE}
        super().__init__(table, KEYS, names, outcome=with_outcome)
        self.problems = mistaken(table, "signals") or self.problems
        given = {**self.names, **columns}
        column = signal_column.find(table, given, self.problems, self.guesses)
        if column is not None:
            self.names = {**self.names, signal_column.ROLE: column}
            self.more.append(signal_column.ROLE)
        self.tally = tally_of(self)
        self.new_day: dict[date, date] = {}

    def frames(self) -> Rows:
        """Yield the rows on the days on which they count."""
        import polars as pl

        for batch in super().frames():
            if not self.new_day:
                yield batch
                continue
            day = pl.col("day").replace_strict(
                list(self.new_day),
                list(self.new_day.values()),
                default=None,
                return_dtype=pl.Date,
            )
            yield batch.with_columns(day).drop_nulls("day")

    def scan(self) -> FoundNames:
        """Check every value and collect the names: the first pass."""
        names = FoundNames()
        for batch in self.check():
            runs, _ = _variation_runs(batch)
            keys = runs.unique(maintain_order=True).drop_nulls()
            names.variations.update(dict.fromkeys(keys.rows()))
            names.days.update(distinct(batch["day"]))
            names.tickers.update(distinct(batch["ticker"]))
        return names

    def rows(
        self,
        axes: Axes,
        market: Market | None,
    ) -> Iterator[Buys]:
        """Yield every row as positions: the second pass; `market` has the outcomes, if separate.

        Raises `InputError` when the table has changed since the first pass.
        """
        import polars as pl

        axis = pl.DataFrame(
            axes.variations,
            schema={"algo": pl.String, "variation": pl.String},
            orient="row",
        )
        axis = axis.with_row_index("number")
        with unchanged(self.tally.name):
            for batch in self.frames():
                runs, n_rows = _variation_runs(batch)
                numbered = runs.join(
                    axis,
                    on=["algo", "variation"],
                    how="left",
                    maintain_order="left",
                )
                numbers = numbered["number"]
                if numbers.has_nulls():
                    raise LookupError(numbers.name)
                day = day_positions(batch["day"], axes.days)
                ticker = positions(batch["ticker"], axes.spellings)
                won, priced = self.tally.read(batch)
                bought = None
                if self.more:
                    bought = batch[signal_column.ROLE].to_numpy()
                    self.tally.n_not_bought += int(np.count_nonzero(~bought))
                if market is not None:
                    won = self.tally.look_up(market, day, ticker, bought)
                variation = np.repeat(numbers.to_numpy().astype(np.int64), n_rows)
                yield Buys(variation, day, ticker, won, priced, bought)


# --- columns to positions ------------------------------------------------------------------------


def distinct(values: pl.Series) -> list[Any]:
    """Return the different values in order of first appearance, without null."""
    return values.unique(maintain_order=True).drop_nulls().to_list()


def _variation_runs(batch: pl.DataFrame) -> tuple[pl.DataFrame, IndexArray]:
    """Return `algo` and `variation` of each run of rows of one variation, and the runs' lengths.

    Most tables are ordered by variation: then there are far fewer runs than rows.
    """
    import polars as pl

    key = pl.struct("algo", "variation")
    runs = batch.select(key.rle().struct.unnest())
    return runs["value"].struct.unnest(), runs["len"].to_numpy()


def positions(
    values: pl.Series,
    spellings: Mapping[str, int],
) -> IndexArray:
    """Return the position of each text by its spelling; fails for one that is not there."""
    import polars as pl

    # An Enum refuses texts that it does not have, and its codes number the spellings.
    codes = values.cast(pl.Enum(list(spellings))).to_physical().to_numpy()
    found: IndexArray = np.fromiter(spellings.values(), np.int64)[codes]
    return found


def day_positions(values: pl.Series, days: Sequence[date]) -> IndexArray:
    """Return the position of each date among ascending `days`; fails for one that is not there."""
    import polars as pl

    numbers = pl.Series(days, dtype=pl.Date).to_physical().to_numpy()
    wanted = values.to_physical().to_numpy()
    found = np.searchsorted(numbers, wanted)
    if not np.array_equal(numbers.take(found, mode="clip"), wanted):
        raise LookupError(values.name)
    return found


@contextmanager
def unchanged(name: str) -> Iterator[None]:
    """Report a name that the first pass did not meet: the source has changed in between."""
    from polars.exceptions import InvalidOperationError

    try:
        yield
    except (InvalidOperationError, LookupError) as error:
        raise InputError(
            f"{name}: the table changed while it was read; read it again when nothing writes to it"
        ) from error
