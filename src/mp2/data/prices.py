"""Daily bars: any price source, validated, as arrays by ticker."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from mp2._document import Names
from mp2._overview import Entry, Overview, first_of, listed, span
from mp2.data.adjusted import CHOICES
from mp2.data.arrays import (
    FloatArray,
    IndexArray,
    fingerprint,
    freeze,
)
from mp2.data.bar_checks import validate
from mp2.data.bars import ROLES, BarSource
from mp2.data.column_names import ColumnNames, unknown_roles
from mp2.data.date_columns import spacing
from mp2.data.dates import iso_day, setting_day
from mp2.data.findings import Finding
from mp2.data.jumps import report_jumps
from mp2.data.origin import FileOrigin, file_origin
from mp2.data.price_grid import FIELDS, Grid, Rows
from mp2.data.reading import Reading
from mp2.data.tables import Stop
from mp2.errors import InputError

if TYPE_CHECKING:
    import polars as pl

# A folder of thousands of files may have a problem in each.
_MAX_PROBLEMS = 20
# Around the end of the days asked for: the longest holidays, and bars to compare with.
_NEAR = timedelta(days=14)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PriceTable(Overview):
    """Daily bars of T tickers on N dates.

    - `dates`: N ISO dates, ascending; `tickers`: T names, alphabetical.
    - `open`, `high`, `low`, `close`, `volume`: float64[T, N], C-contiguous, read-only. All five are
      NaN where a ticker has no bar that can be used: before its first one, in a hole, after its
      last one, and where it is not tradable because its bars only repeat each other. Prices of a
      bar are positive and finite, high >= low; its volume may be NaN. Every date and every ticker
      has a bar.
    - `first_idx` int64[T]: index of each ticker's first bar.
    - `findings`: what was dropped or tolerated; `warnings` are their lines. `fingerprint`: sha256
      of the content, hex.
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
    findings: tuple[Finding, ...]
    fingerprint: str
    next_date: str | None = None
    origin: FileOrigin | None = None

    @property
    def n_tickers(self) -> int:
        """Number of tickers, T."""
        return len(self.tickers)

    @property
    def n_dates(self) -> int:
        """Number of dates, N."""
        return len(self.dates)

    @property
    def warnings(self) -> Names:
        """What was dropped or tolerated, one line each."""
        return tuple(finding.line for finding in self.findings)

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        title = f"{self.n_tickers:,} tickers on {self.n_dates:,} dates"
        rows: list[Entry] = [
            ("file", self.origin.path if self.origin else None),
            ("dates", span(self.dates)),
            ("tickers", listed(self.tickers, "ticker")),
            ("warnings", first_of(self.warnings)),
        ]
        return title, rows

    def date_idx(self, day: str) -> int:
        """Return the index of an ISO date; raises `InputError` when the table has no such date."""
        if day not in self.dates:
            raise InputError(self._no_bars(f"on {day!r}"))
        return self.dates.index(day)

    def last_idx(self, day: str, setting: str = "day") -> int:
        """Return the index of the last date up to a day, written in any clear form.

        Raises `InputError` when the day, of which `setting` is the name, is not a date or lies
        before the first one.
        """
        last = iso_day(setting, day) or ""
        n_dates = bisect_right(self.dates, last)
        if not n_dates:
            raise InputError(self._no_bars(f"up to {day!r}"))
        return n_dates - 1

    def _no_bars(self, when: str) -> str:
        return f"prices: no bars {when}; the dates run from {self.dates[0]} to {self.dates[-1]}"

    def __deepcopy__(self, memo: dict[int, Any]) -> PriceTable:
        """Return the table itself: it cannot change, and every scanner gets a copy of the state."""
        return self

    def until(self, day: str) -> PriceTable:
        """Return the table as it was at the end of a day, with the same warnings.

        Later dates and tickers listed later are cut. Raises `InputError` when the day is not a date
        or lies before the first one.
        """
        n_dates = self.last_idx(day) + 1
        if n_dates == self.n_dates:
            return self
        is_listed = self.first_idx < n_dates
        return price_table(
            self.dates[:n_dates],
            [self.tickers[idx] for idx in np.flatnonzero(is_listed)],
            [getattr(self, name)[is_listed, :n_dates] for name in FIELDS],
            self.findings,
            next_date=self.dates[n_dates],
        )


def price_table(
    dates: Sequence[str],
    tickers: Sequence[str],
    values: Sequence[FloatArray],
    findings: Sequence[Finding] = (),
    *,
    next_date: str | None = None,
) -> PriceTable:
    """Make a table of arrays that keep the promises of `PriceTable`; they become read-only.

    `values`: open, high, low, close, volume, float64[T, N] each; a ticker has no bar where its
    close is NaN.
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
        findings=tuple(findings),
        fingerprint=fingerprint((dates, tickers), content),
        next_date=next_date,
    )


def to_frame(prices: PriceTable) -> pl.DataFrame:
    """Return the bars as a long table, by ticker and date; `read_prices` reads it.

    Columns: date, ticker, open, high, low, close, volume.
    """
    import polars as pl

    is_bar = np.isfinite(prices.close)
    ticker, idx = np.nonzero(is_bar)
    dates = pl.Series("date", prices.dates, pl.String).str.to_date()
    tickers = pl.Series("ticker", prices.tickers, pl.String)
    columns = [dates.gather(idx), tickers.gather(ticker)]
    # Only volumes of bars may be NaN; null is what other programs expect.
    for name in FIELDS:
        values = getattr(prices, name)[is_bar]
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
    decimal: str | None = None,
    adjusted: str = "auto",
    strict: bool = False,
    ticker: str | None = None,
    start: str | None = None,
    end: str | None = None,
    stop: Stop = None,
) -> PriceTable:
    """Read daily bars from a file, a folder or a frame.

    `source` is one of

    - a long table `date, ticker, open, high, low, close` and, if there is one, `volume`: the path
      of a file (delimited text, packed or not, Parquet, Feather, JSON lines, a workbook, SQLite or
      DuckDB; `table` or `query` choose from the last three), or a polars, pandas or pyarrow frame;
    - a table for each ticker: a folder or a pattern such as `bars/*.parquet`, with files called by
      the ticker in a way that `mp2.data.file_tickers` knows or with hive folders (`ticker=AAPL`),
      or a database or workbook with tables called by the ticker;
    - what yfinance makes: a pandas frame with column levels field and ticker in either order, or
      that saved as CSV or Parquet.

    `ticker` names the ticker of bars without such a column. A few files, tables or tickers that
    cannot be read are left out with a warning. `strict` makes every warning an error, except those
    that say how the source is read (`Finding.is_note`).

    Column names count in any letter case; `columns` maps these names to other ones of the source,
    or for text without a header the numbers of columns to them (`{"1": "date", "2": "open"}`).
    Adjusted prices beside those as traded are used, with a warning: all four (`adj_open` ..
    `adj_close`, `adjOpen` ..) as they are, an adjusted close alone (`Adj Close`) by scaling all
    four prices by its ratio to the close. `adjusted` "no" takes prices as traded, "yes" needs
    adjusted ones. Overnight jumps that look like a split or another unit of the currency
    (`mp2.data.jumps`) are kept with a warning.

    `start` and `end` restrict the dates, both included: later bars do not decide which
    tickers there are, and only the first date after `end` is noted (`next_date`). `stop`, when set,
    ends the reading between two batches with `ReadStoppedError`.

    A row without any price is not a bar. Everything else that is left out is a finding, with its
    warning: a bad bar (a price that is missing, not finite or not positive, high below low), and a
    ticker where most bars are bad; dates that are no trading days, because their bars repeat the
    bar before or few tickers have one; the bars of a ticker that repeat each other for long
    (`mp2.data.sessions`). Without a bar on a date that others have, a ticker has no signal and no
    outcome on it. An open or close outside low..high is kept with a warning: vendors take them from
    the auctions and the range from trading between them.

    Raises `InputError` with everything wrong with the input; `warnings` of the table has what is
    tolerated.
    """
    reading = Reading(
        columns=dict(columns or {}),
        table=table,
        query=query,
        timezone=timezone,
        date_format=date_format,
        decimal=decimal,
        adjusted=adjusted,
        strict=strict,
        ticker=ticker,
        stop=stop,
    )
    bars = BarSource(source, reading)
    bars.problems += unknown_roles(reading.names, ROLES)
    if adjusted not in CHOICES:
        bars.problems.append(f"adjusted: {adjusted!r} is unknown; choose from {', '.join(CHOICES)}")
    first, last = day_limits(start, end, bars.problems, date_format)
    rows, around = _collected(bars, first, last)
    problems = bars.problems or rows.emptiness(bars.name)
    findings = bars.adjustments.findings(bars.name)
    # Rows may have no price because they have no adjusted one.
    if problems and bars.adjustments.n_lost:
        problems += [finding.line for finding in findings]
    n_more = len(problems) - _MAX_PROBLEMS
    if n_more > 0:
        problems[_MAX_PROBLEMS:] = [f"... and {n_more} more problems like these"]
    if problems:
        raise InputError(problems)
    grid = Grid(bars.name, rows)
    rare = spacing(grid.dates)
    if rare:
        raise InputError(f"{bars.name}: these are {rare} bars, by their dates; give daily bars")
    validate(grid)
    report_jumps(grid)
    findings = [*bars.findings, *findings, *grid.findings]
    doubts = [finding.line for finding in findings if not finding.is_note]
    if strict and doubts:
        raise InputError(doubts)
    read = price_table(
        grid.dates,
        grid.tickers,
        list(grid.values),
        findings,
        next_date=_next_date(around, last) if last else None,
    )
    if start or end:
        return read
    return replace(read, origin=file_origin(source, reading))


def as_prices(
    source: Any,
    *,
    end: str | None = None,
    stop: Stop = None,
) -> PriceTable:
    """Return a price table as it is; read any other source up to `end`, as `read_prices` does."""
    if isinstance(source, PriceTable):
        return source
    return read_prices(source, end=end, stop=stop)


def _collected(
    bars: BarSource,
    first: date | None,
    last: date | None,
) -> tuple[Rows, Rows]:
    """Return the rows between two days, and those around the last one."""
    rows = Rows(first or date.min, last or date.max)
    around = rows
    if last:
        # Years 1 and 9999 are dates, too.
        before = max(last, date.min + _NEAR) - _NEAR
        around = Rows(before, min(last, date.max - _NEAR) + _NEAR)
    for batch in bars.batches():
        rows.add(batch)
        if last:
            around.add(batch)
    rows.tickers.update(bars.empty_tickers)
    return rows, around


def _next_date(around: Rows, last: date) -> str | None:
    """Return the first date after the last one, of the bars around it; None if it is not known."""
    # What is wrong with later bars decides nothing: the date is assumed then.
    with suppress(InputError):
        if not around.emptiness("prices"):
            grid = Grid("prices", around)
            validate(grid)
            return next((day for day in grid.dates if day > last.isoformat()), None)
    return None


def day_limits(
    start: str | None,
    end: str | None,
    problems: list[str],
    date_format: str | None = None,
) -> tuple[date | None, date | None]:
    """Return the first and last day of a setting; adds to `problems` what is wrong with them."""
    first = None
    last = None
    if start is not None:
        first = setting_day("start", start, problems, date_format)
    if end is not None:
        last = setting_day("end", end, problems, date_format)
    if first and last and first > last:
        problems.append(f"start: {start} is after end {end}")
    return first, last
