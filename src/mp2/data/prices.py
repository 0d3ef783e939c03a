"""Daily bars: any price source, validated, as arrays by ticker."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from mp2._document import Names
from mp2.data.arrays import (
    BoolArray,
    FloatArray,
    IndexArray,
    fingerprint,
    freeze,
)
from mp2.data.bars import ROLES, BarSource
from mp2.data.column_names import ColumnNames, named, unknown_roles
from mp2.data.dates import parse_day
from mp2.data.encoding import day_positions, positions
from mp2.data.origin import FileOrigin, file_origin
from mp2.data.reading import Reading
from mp2.data.tables import Stop
from mp2.data.wide_bars import PRICES
from mp2.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_FIELDS = (*PRICES, "volume")
# A folder of thousands of files may have a problem in each.
_MAX_NAMED = 5
_MAX_PROBLEMS = 20
# Relative; float32 prices are rounded by 6e-8.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class PriceTable:
    """Daily bars of T tickers on N dates.

    - `dates`: N ISO dates, ascending; `tickers`: T names, alphabetical.
    - `open`, `high`, `low`, `close`, `volume`: float64[T, N], C-contiguous, read-only. A ticker has
      a valid bar on every date from its first one on; before it, all five are NaN. Prices are
      positive and finite, high >= low; volume may be NaN.
    - `first_idx` int64[T]: index of each ticker's first bar.
    - `warnings`: what was dropped or tolerated, one line each. `fingerprint`: sha256 of the
      content, hex.
    - `next_date`: the date after the last one, where the table was cut and it is known.
    - `origin`: the file the whole table was read from; None for others.
    """

    dates: Names
    tickers: Names
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    first_idx: IndexArray
    warnings: Names
    fingerprint: str
    next_date: str | None = None
    origin: FileOrigin | None = None

    @property
    def n_tickers(self) -> int:
        """T."""
        return len(self.tickers)

    @property
    def n_dates(self) -> int:
        """N."""
        return len(self.dates)

    def date_idx(self, day: str) -> int:
        """Return the index of an ISO date; raises `InputError` when the table has no such date."""
        if day not in self.dates:
            raise InputError(self._no_bars(f"on {day!r}"))
        return self.dates.index(day)

    def _no_bars(self, when: str) -> str:
        return f"prices: no bars {when}; the dates run from {self.dates[0]} to {self.dates[-1]}"

    def __deepcopy__(self, memo: dict[int, Any]) -> PriceTable:
        """Return the table itself: it cannot change, and every scanner gets a copy of the state."""
        return self

    def until(self, day: str) -> PriceTable:
        """Return the table as it was at the end of an ISO day, with the same warnings.

        Later dates and tickers listed later are cut. Raises `InputError` when the day is not a date
        or lies before the first one.
        """
        problems: list[str] = []
        limit = _parse_limit("day", day, problems)
        if limit is None:
            raise InputError(problems)
        n_dates = bisect_right(self.dates, limit.isoformat())
        if not n_dates:
            raise InputError(self._no_bars(f"up to {day!r}"))
        if n_dates == self.n_dates:
            return self
        is_listed = self.first_idx < n_dates
        return price_table(
            self.dates[:n_dates],
            [self.tickers[idx] for idx in np.flatnonzero(is_listed)],
            [getattr(self, name)[is_listed, :n_dates] for name in _FIELDS],
            self.warnings,
            next_date=self.dates[n_dates],
        )


def price_table(
    dates: Sequence[str],
    tickers: Sequence[str],
    values: Sequence[FloatArray],
    warnings: Sequence[str] = (),
    *,
    next_date: str | None = None,
) -> PriceTable:
    """Make a table of arrays that keep the promises of `PriceTable`; they become read-only.

    `values`: open, high, low, close, volume, float64[T, N] each; a ticker is not listed yet where
    its close is NaN.
    """
    # Contiguous by ticker, since indicators run along the dates.
    arrays = [np.ascontiguousarray(array, np.float64) for array in values]
    opened, high, low, close, volume = arrays
    first_idx = np.isnan(close).argmin(axis=1).astype(np.int64)
    content = (*arrays, first_idx)
    freeze(content)
    return PriceTable(
        dates=tuple(dates),
        tickers=tuple(tickers),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        first_idx=first_idx,
        warnings=tuple(warnings),
        fingerprint=fingerprint((dates, tickers), content),
        next_date=next_date,
    )


def to_frame(prices: PriceTable) -> pl.DataFrame:
    """Return the bars as a long table, by ticker and date; `read_prices` reads it.

    Columns: date, ticker, open, high, low, close, volume.
    """
    import polars as pl

    is_listed = np.arange(prices.n_dates) >= prices.first_idx[:, None]
    ticker, idx = np.nonzero(is_listed)
    dates = pl.Series("date", prices.dates, pl.String).str.to_date()
    tickers = pl.Series("ticker", prices.tickers, pl.String)
    columns = [dates.gather(idx), tickers.gather(ticker)]
    # Only volumes are NaN within the listed range; null is what other programs expect.
    for name in _FIELDS:
        values = getattr(prices, name)[is_listed]
        columns.append(pl.Series(name, values, nan_to_null=True))
    return pl.DataFrame(columns)


# --- reading -------------------------------------------------------------------------------------


def read_prices(
    source: Any,
    *,
    columns: ColumnNames | None = None,
    table: str | None = None,
    query: str | None = None,
    timezone: str | None = None,
    date_format: str | None = None,
    strict: bool = False,
    start: str | None = None,
    end: str | None = None,
    stop: Stop = None,
) -> PriceTable:
    """Read daily bars from a file, a folder or a frame.

    `source` is one of

    - a long table `date, ticker, open, high, low, close` and, if there is one, `volume`: a path to
      Parquet, CSV, CSV.gz or SQLite (`table` or `query` choose from it), or a polars, pandas or
      pyarrow frame;
    - a folder with one CSV file for each ticker, called by it (AAPL.csv);
    - what yfinance makes: a pandas frame with column levels field and ticker in either order, or
      that saved as CSV or Parquet.

    Column names count in any letter case; `columns` maps these names to other ones of the source.
    Adjusted closes (`Adj Close`) are left out: open and close are compared, and adjusting one of
    them would fake moves from open to close. `start` and `end`, ISO dates, restrict the dates, both
    included: later bars do not decide which tickers there are, and only the first date after `end`
    is noted (`next_date`). `stop`, when set, ends the reading between two batches with
    `ReadStoppedError`.

    A row without any price is not a bar. Tickers are left out with a warning when they have no bar,
    a bad one (a price that is missing, not finite or not positive, high below low), or a gap: no
    bar on a date, after their first bar, on which another ticker that is not bad has one (a date
    that only a minority has is an error). An open or close outside low..high is kept with a
    warning: vendors take them from the auctions and the range from trading between them.

    Raises `InputError` with everything wrong with the input; `warnings` of the table has what is
    tolerated.
    """
    reading = Reading(
        columns=dict(columns or {}),
        table=table,
        query=query,
        timezone=timezone,
        date_format=date_format,
        strict=strict,
        stop=stop,
    )
    bars = BarSource(source, reading)
    bars.problems += unknown_roles(reading.columns, ROLES)
    first, last = day_limits(start, end, bars.problems)
    rows = _Rows(first or date.min, last or date.max)
    for batch in bars.batches():
        rows.add(batch)
    rows.tickers.update(bars.empty_tickers)
    problems = bars.problems or rows.emptiness(bars.name)
    n_more = len(problems) - _MAX_PROBLEMS
    if n_more > 0:
        problems[_MAX_PROBLEMS:] = [f"... and {n_more} more problems like these"]
    if problems:
        raise InputError(problems)
    grid = _Grid(bars.name, rows)
    read = grid.table(rows.next_date.isoformat() if rows.next_date else None)
    if start or end:
        return read
    return replace(read, origin=file_origin(source, reading))


def day_limits(
    start: str | None,
    end: str | None,
    problems: list[str],
) -> tuple[date | None, date | None]:
    """Return the first and last day of a setting; adds to `problems` what is wrong with them."""
    first = _parse_limit("start", start, problems)
    last = _parse_limit("end", end, problems)
    if first and last and first > last:
        problems.append(f"start: {start} is after end {end}")
    return first, last


def _parse_limit(
    name: str,
    day: str | None,
    problems: list[str],
) -> date | None:
    parsed = None
    if day is not None:
        parsed = parse_day(str(day))
        if parsed is None:
            problems.append(f"{name}: {day!r} is not a date; write YYYY-MM-DD")
    return parsed


class _Rows:
    """Collects the bars between two dates: 32 bytes a bar when prices are float32."""

    def __init__(
        self,
        first: date,
        last: date,
    ) -> None:
        self.first = first
        self.last = last
        self.parts: list[pl.DataFrame] = []
        self.tickers: set[str] = set()
        self.next_date: date | None = None
        self.n_inside = 0
        # The first and last date of each batch.
        self.ends: list[Any] = []

    def add(self, batch: pl.DataFrame) -> None:
        """Add a batch of rows."""
        import polars as pl

        if batch.is_empty():
            return
        days = batch["date"]
        self.ends += [days.min(), days.max()]
        # Noted although such bars are cut: the next trading day need not be guessed then.
        later: Any = days.filter(days > self.last).min()
        if later is not None:
            self.next_date = min(later, self.next_date or later)
        inside = batch.filter(pl.col("date").is_between(self.first, self.last))
        self.n_inside += inside.height
        self.tickers.update(inside["ticker"].unique())
        # Neither null nor NaN.
        has_price = pl.any_horizontal(pl.col(*PRICES).is_not_nan())
        # Categories take 4 bytes a row, texts 16.
        ticker = pl.col("ticker").cast(pl.Categorical)
        self.parts.append(inside.filter(has_price).select(ticker, "date", *_FIELDS))

    def emptiness(self, source: str) -> list[str]:
        """Return why there is no bar at all, if so."""
        if not self.ends:
            return [f"{source}: the table has no rows"]
        if not self.n_inside:
            span = f"from {min(self.ends)} to {max(self.ends)}"
            return [f"{source}: no row in the days asked for; the dates run {span}"]
        if not any(part.height for part in self.parts):
            return [f"{source}: none of {self.n_inside} rows has a price"]
        return []


# --- validation ----------------------------------------------------------------------------------


class _Grid:
    """Bars by ticker and date, and which tickers can be used.

    `values` float64[5, T, N] by field, NaN where there is no bar; `bars` bool[T, N]: where there is
    one; `kept` bool[T].
    """

    def __init__(
        self,
        name: str,
        rows: _Rows,
    ) -> None:
        import polars as pl

        frame = pl.concat(rows.parts, how="vertical_relaxed")
        days = frame["date"].unique().sort().to_list()
        self.name = name
        self.warnings: list[str] = []
        self.tickers = sorted(rows.tickers)
        self.dates = [day.isoformat() for day in days]
        shape = (len(self.tickers), len(days))
        self.kept = np.ones(len(self.tickers), np.bool_)
        self.bars = np.zeros(shape, np.bool_)
        self.values = np.full((len(_FIELDS), *shape), np.nan)
        ticker = positions(frame["ticker"], self.tickers)
        cells = ticker * len(days) + day_positions(frame["date"], days)
        self.bars.reshape(-1)[cells] = True
        differs = np.zeros(len(cells), np.bool_)
        for field, grid in zip(_FIELDS, self.values, strict=True):
            # All NaN get one bit pattern: the fingerprint must not depend on it.
            column = frame[field].fill_nan(None).to_numpy()
            flat = grid.reshape(-1)
            flat[cells] = column
            # A cell holds the last of its rows.
            last = flat[cells]
            differs |= (last != column) & ~(np.isnan(last) & np.isnan(column))
        if differs.any():
            place = self._place(cells[differs].min())
            raise InputError(
                f"{name}: rows that disagree about one (ticker, date): "
                f"{np.count_nonzero(differs)}, the first about {place}; keep one of them"
            )
        # Cells fall from one row of a ticker to its next one where the date does.
        by_ticker = cells[np.argsort(ticker, kind="stable")]
        n_late = np.count_nonzero(np.diff(by_ticker) < 0)
        if n_late:
            self.warn(f"rows that come after a later one of their ticker: {n_late}, sorted")
        n_repeated = len(cells) - np.count_nonzero(self.bars)
        if n_repeated:
            self.warn(f"duplicate rows of one (ticker, date): {n_repeated}, collapsed")

    def _place(self, cell: Any) -> str:
        ticker, idx = divmod(int(cell), len(self.dates))
        return f"{self.tickers[ticker]} {self.dates[idx]}"

    def warn(self, line: str) -> None:
        """Add a warning about the source."""
        self.warnings.append(f"{self.name}: {line}")

    def table(self, next_date: str | None) -> PriceTable:
        """Return the tickers whose bars are complete and valid.

        Raises `InputError` when no ticker is left.
        """
        prices = self.values[: len(PRICES)]
        opened, high, low, close = prices
        is_missing = ~np.isfinite(prices).all(axis=0)
        # In this order: a bad ticker must not make gaps for the others.
        has_bar = np.any(self.bars, axis=1, keepdims=True)
        self._leave_out("without any bar", ~has_bar)
        self._leave_out("with a missing or non-finite price", self.bars & is_missing)
        self._leave_out("with a price that is not above 0", np.any(prices <= 0, axis=0))
        self._leave_out("with high below low", high < low)
        self._leave_out(
            "without a bar on a date, after their first one, that others have", self._gaps()
        )
        if not self.kept.any():
            raise InputError([f"{self.name}: no ticker is left", *self.warnings])
        is_outside = np.maximum(opened, close) - high > _ROUNDING * high
        is_outside |= low - np.minimum(opened, close) > _ROUNDING * low
        outside = np.flatnonzero(is_outside & self.kept[:, None])
        if len(outside):
            self.warn(
                f"bars with open or close outside low..high: {len(outside)}, kept; "
                f"the first: {self._place(outside[0])}"
            )
        # Dates on which only tickers left out have a bar go, too.
        dates = np.flatnonzero(self.bars[self.kept].any(axis=0))
        return price_table(
            [self.dates[idx] for idx in dates],
            [self.tickers[idx] for idx in np.flatnonzero(self.kept)],
            [array[np.ix_(self.kept, dates)] for array in self.values],
            self.warnings,
            next_date=next_date,
        )

    def _leave_out(
        self,
        what: str,
        is_wrong: BoolArray,
    ) -> None:
        """Leave out the tickers that are wrong on a date, bool[T, N], or at all, bool[T, 1]."""
        wrong = is_wrong & self.kept[:, None]
        numbers = np.flatnonzero(np.any(wrong, axis=1))
        if not len(numbers):
            return
        names = [self.tickers[number] for number in numbers]
        line = f"tickers {what}: {len(names)}, left out: {named(names, _MAX_NAMED)}"
        if wrong.shape == self.bars.shape:
            line += f"; the first: {self._place(wrong.argmax())}"
        self.warn(line)
        self.kept[numbers] = False

    def _gaps(self) -> BoolArray:
        """Return where, bool[T, N], a kept ticker lacks a bar after its first one.

        Only dates count on which another kept ticker has one. Raises `InputError` when most tickers
        lack one date: then the date is at fault.
        """
        n_bars = self.bars[self.kept].sum(axis=0)
        first_idx = self.bars.argmax(axis=1)
        is_listed = np.arange(len(n_bars)) >= first_idx[:, None]
        gaps: BoolArray = is_listed & ~self.bars & (n_bars > 0) & self.kept[:, None]
        n_gaps = gaps.sum(axis=0)
        worst = int(n_gaps.argmax())
        n_listed = n_gaps[worst] + n_bars[worst]
        if 2 * n_gaps[worst] > n_listed:
            raise InputError(
                f"{self.name}: only {n_bars[worst]} of {n_listed} tickers have a bar on "
                f"{self.dates[worst]}; complete that date, end the prices before it, "
                "or leave it out"
            )
        return gaps
