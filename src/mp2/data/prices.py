"""Daily bars: any price source, validated, as arrays per ticker."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mp2.data.arrays import fingerprint
from mp2.data.bars import PRICES, ROLES, Bars, BarSource
from mp2.data.columns import parse_day
from mp2.data.tables import stop_explains_errors
from mp2.errors import InputError

if TYPE_CHECKING:
    import polars as pl

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.int64]

_FIELDS = (*PRICES, "volume")
_EPOCH = date(1970, 1, 1).toordinal()
_N_NAMED = 5
_N_PROBLEMS = 20
_ROUNDING = 1e-6
"""Relative; float32 prices are rounded by 6e-8."""


@dataclass(frozen=True, slots=True, eq=False)
class PriceTable:
    """Daily bars of T tickers on N dates.

    - `dates`: N ISO dates, ascending; `tickers`: T names, alphabetical.
    - `open`, `high`, `low`, `close`, `volume`: float64[T, N], C-contiguous, read-only. A ticker has a valid bar on every date
      from its first one on; before it, all five are NaN. Prices are positive and finite, high >= low; volume may be NaN.
    - `first_idx` int64[T]: index of each ticker's first bar.
    - `warnings`: what was dropped or tolerated, one line each. `fingerprint`: sha256 of the content, hex.
    - `next_date`: the date after the last one, where the table was cut and it is known.
    """

    dates: tuple[str, ...]
    tickers: tuple[str, ...]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    first_idx: npt.NDArray[np.int64]
    warnings: tuple[str, ...]
    fingerprint: str
    next_date: str | None = None

    @property
    def n_tickers(self) -> int:
        """T."""
        return len(self.tickers)

    @property
    def n_dates(self) -> int:
        """N."""
        return len(self.dates)

    def date_idx(self, day: str) -> int:
        """The index of an ISO date; raises `InputError` when the table has no such date."""
        idx = bisect_right(self.dates, day) - 1
        if idx < 0 or self.dates[idx] != day:
            raise InputError(self._no_bars(f"on {day!r}"))
        return idx

    def _no_bars(self, when: str) -> str:
        return f"prices: no bars {when}; the dates run from {self.dates[0]} to {self.dates[-1]}"

    def __deepcopy__(self, memo: dict[int, Any]) -> PriceTable:
        """Itself: nothing in it can change, and every scanner of a run is given a copy of the run's state."""
        return self

    def until(self, day: str) -> PriceTable:
        """The table as it was at the end of an ISO day: later dates and tickers listed later are cut, warnings are kept.

        Raises `InputError` when the day is no date or lies before the first one.
        """
        problems: list[str] = []
        limit = _limit("day", day, problems)
        n_dates = 0 if limit is None else bisect_right(self.dates, limit.isoformat())
        if not n_dates:
            raise InputError(problems or self._no_bars(f"up to {day!r}"))
        if n_dates == self.n_dates:
            return self
        listed = self.first_idx < n_dates
        tickers = [ticker for ticker, kept in zip(self.tickers, listed, strict=True) if kept]
        values = [getattr(self, name)[listed, :n_dates] for name in _FIELDS]
        return price_table(
            self.dates[:n_dates], tickers, values, self.warnings, next_date=self.dates[n_dates]
        )


def price_table(
    dates: Sequence[str],
    tickers: Sequence[str],
    values: Sequence[FloatArray],
    warnings: Sequence[str] = (),
    *,
    next_date: str | None = None,
) -> PriceTable:
    """The table of arrays that are known to keep the promises of `PriceTable`; it takes them over and makes them read-only.

    `values`: open, high, low, close, volume, float64[T, N] each; NaN closes tell where a ticker is not listed yet.
    """
    opened, high, low, close, volume = (np.ascontiguousarray(field, np.float64) for field in values)
    first_idx = np.isnan(close).argmin(axis=1).astype(np.int64)
    arrays = (opened, high, low, close, volume, first_idx)
    for array in arrays:
        array.setflags(write=False)
    content = fingerprint((dates, tickers), arrays)
    return PriceTable(
        tuple(dates),
        tuple(tickers),
        opened,
        high,
        low,
        close,
        volume,
        first_idx,
        tuple(warnings),
        content,
        next_date,
    )


def to_frame(prices: PriceTable) -> pl.DataFrame:
    """The bars as a long table `date, ticker, open, high, low, close, volume`, by ticker and date; `read_prices` reads it."""
    import polars as pl

    ticker, idx = np.nonzero(np.arange(prices.n_dates) >= prices.first_idx[:, np.newaxis])
    dates = pl.Series("date", prices.dates, pl.String).str.to_date()
    tickers = pl.Series("ticker", prices.tickers, pl.String)
    values = [
        pl.Series(name, getattr(prices, name)[ticker, idx]).fill_nan(None) for name in _FIELDS
    ]
    return pl.DataFrame([dates.gather(idx), tickers.gather(ticker), *values])


# --- reading -------------------------------------------------------------------------------------------------------


def read_prices(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    table: str | None = None,
    query: str | None = None,
    start: str | None = None,
    end: str | None = None,
    stop: threading.Event | None = None,
) -> PriceTable:
    """Read daily bars from a file, a folder or a frame.

    `source` is one of

    - a long table `date, ticker, open, high, low, close` and, if there is one, `volume`: a path to Parquet, CSV, CSV.gz or
      SQLite (`table` or `query` choose from it), or a polars, pandas or pyarrow frame;
    - a folder with one CSV file for each ticker, called by it (AAPL.csv);
    - what yfinance makes: a pandas frame with column levels field and ticker in either order, or that saved as CSV or Parquet.

    Column names count in any letter case; `columns` maps these names to other ones of the source. Adjusted closes
    (`Adj Close`) are left out: open and close are compared, and adjusting one of them would fake moves from open to close.
    `start` and `end`, ISO dates, restrict the dates, both included: bars outside are not looked at, so that nothing that
    happened after `end` decides which tickers there are; only the first date after it is noted (`next_date`). `stop`, when
    set, ends the reading between two batches with `ReadStoppedError`.

    A row whose four prices are all missing is no bar. Tickers are left out with a warning when they have no bar, a bad one
    (a price that is missing, not finite or not positive, high below low), or a gap: no bar on a date, after their first bar,
    on which another ticker that is not bad has one (a date that only a minority has is an error). An open or close outside
    low..high is kept with a warning: vendors take them from the auctions and the range from trading between them.

    Raises `InputError` listing everything wrong with the input; what is tolerated is in the table's `warnings`.
    """
    names = dict(columns or {})
    origin = BarSource(source, names, table, query, stop)
    origin.problems += [
        f"columns: {role!r} is unknown; choose from {', '.join(ROLES)}"
        for role in names
        if role not in ROLES
    ]
    rows = _Rows(*day_limits(start, end, origin.problems))
    with stop_explains_errors(stop):
        for bars in origin.open_all():
            origin.problems += rows.read(bars)
        problems = origin.problems or [f"{origin.name}: {line}" for line in rows.emptiness()]
        if problems:
            raise InputError(_shortened(problems))
    found = _filled(rows.placed(), origin.name).table()
    return replace(found, next_date=None if rows.next_date is None else rows.next_date.isoformat())


def day_limits(
    start: str | None, end: str | None, problems: list[str]
) -> tuple[date | None, date | None]:
    """The first and last day a user names; adds to `problems` what is wrong with them."""
    first, last = _limit("start", start, problems), _limit("end", end, problems)
    if first is not None and last is not None and first > last:
        problems.append(f"start: {start} is after end {end}")
    return first, last


def _limit(name: str, day: str | None, problems: list[str]) -> date | None:
    parsed = None if day is None else parse_day(str(day))
    if day is not None and parsed is None:
        problems.append(f"{name}: {day!r} is not a date; write YYYY-MM-DD")
    return parsed


def _shortened(problems: Sequence[str]) -> list[str]:
    n_more = len(problems) - _N_PROBLEMS
    return (
        [*problems[:_N_PROBLEMS], f"... and {n_more} more problems like these"]
        if n_more > 0
        else list(problems)
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """Bars in the order read: `ticker` and `date` int64[n] are positions among the names, `values` float[n] by field."""

    tickers: tuple[str, ...]
    dates: tuple[str, ...]
    ticker: IndexArray
    date: IndexArray
    values: tuple[npt.NDArray[Any], ...]


class _Rows:
    """Collects the bars between two dates as numbers, in the order read: 32 bytes a bar when prices are float32."""

    def __init__(self, start: date | None, end: date | None) -> None:
        self._between = (start or date.min, end or date.max)
        self._codes: dict[str, int] = {}
        self._parts: list[tuple[npt.NDArray[Any], ...]] = []
        self._dates: set[Any] = set()  # the first and last one of each batch
        self._n_inside = self._n_bars = 0
        self.next_date: date | None = None

    def read(self, bars: Bars) -> Sequence[str]:
        """Add a table; returns what is wrong with it."""
        n_rows = 0
        try:
            for batch in bars.columns.batches(bars.roles):
                n_rows += batch.height
                self._add(
                    batch.drop_nulls([role for role in ("date", "ticker") if role in bars.roles]),
                    bars.ticker,
                )
        except InputError as error:
            return error.problems
        if bars.ticker is not None and not n_rows:
            self._code(bars.ticker)
        return bars.columns.faults.lines()

    def _add(self, batch: pl.DataFrame, ticker: str | None) -> None:
        import polars as pl

        if batch.is_empty():
            return
        if ticker is not None:
            batch = batch.with_columns(pl.lit(ticker).alias("ticker"))
        if "volume" not in batch.columns:
            batch = batch.with_columns(pl.lit(np.nan).alias("volume"))
        days = batch["date"]
        self._dates = {*self._dates, days.min(), days.max()}
        later = [
            day
            for day in (days.filter(days > self._between[1]).min(), self.next_date)
            if isinstance(day, date)
        ]
        self.next_date = min(later, default=None)
        inside = batch.filter(pl.col("date").is_between(*self._between))
        names = inside["ticker"].unique(maintain_order=True).to_list()
        codes = [self._code(name) for name in names]
        bars = inside.filter(pl.any_horizontal(pl.col(*PRICES).fill_nan(None).is_not_null()))
        ticker_codes = bars["ticker"].replace_strict(names, codes, return_dtype=pl.Int32)
        self._n_inside += inside.height
        self._n_bars += bars.height
        self._parts.append(
            tuple(
                column.to_numpy()
                for column in (ticker_codes, bars["date"].to_physical(), *bars[_FIELDS])
            )
        )

    def _code(self, ticker: str) -> int:
        return self._codes.setdefault(ticker, len(self._codes))

    def emptiness(self) -> Iterator[str]:
        """Why there is nothing to work on, if so."""
        if not self._dates:
            yield "the table has no rows"
        elif not self._n_inside:
            yield f"no row in the days asked for; the dates run from {min(self._dates)} to {max(self._dates)}"
        elif not self._n_bars:
            yield f"none of {self._n_inside} rows has a price"

    def placed(self) -> _Placed:
        """All bars; the names of tickers without any are there too."""
        codes, days, *values = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        tickers = sorted(self._codes)
        place = np.empty(len(tickers), np.int64)
        place[[self._codes[name] for name in tickers]] = np.arange(len(tickers))
        distinct, date_idx = np.unique(days, return_inverse=True)
        dates = tuple(date.fromordinal(_EPOCH + day).isoformat() for day in distinct.tolist())
        return _Placed(
            tuple(tickers), dates, place[codes], date_idx.astype(np.int64), tuple(values)
        )


# --- validation ----------------------------------------------------------------------------------------------------


def _filled(rows: _Placed, name: str) -> _Screen:
    """The bars by place; raises `InputError` when two rows of one ticker and date disagree."""
    shape = (len(rows.tickers), len(rows.dates))
    cells = rows.ticker * shape[1] + rows.date
    n_repeated, wrong = _repeated(cells, rows.values)
    if len(wrong):
        ticker, idx = divmod(int(wrong.min()), shape[1])
        what = f"rows that disagree about one (ticker, date): {len(wrong)}, the first about"
        raise InputError(
            f"{name}: {what} {rows.tickers[ticker]} {rows.dates[idx]}; keep one of them"
        )
    values = np.full((len(_FIELDS), *shape), np.nan)
    for field, column in zip(values, rows.values, strict=True):
        known = ~np.isnan(column)  # the others stay NaN of one bit pattern, for the fingerprint
        field.reshape(-1)[cells[known]] = column[known]
    screen = _Screen(name, rows.tickers, rows.dates, values)
    if n_late := _n_late(rows):
        screen.warn(f"rows that come after a later one of their ticker: {n_late}, sorted")
    if n_repeated:
        screen.warn(f"duplicate rows of one (ticker, date): {n_repeated}, collapsed")
    return screen


def _repeated(cells: IndexArray, values: Sequence[npt.NDArray[Any]]) -> tuple[int, IndexArray]:
    """How many bars repeat an earlier one, and the cells of those that do not say the same."""
    order = np.argsort(cells, kind="stable")
    again = np.flatnonzero(cells[order][1:] == cells[order][:-1])
    former, latter = order[again], order[again + 1]
    same = np.ones(len(again), np.bool_)
    for column in values:
        same &= (column[former] == column[latter]) | (
            np.isnan(column[former]) & np.isnan(column[latter])
        )
    return len(again), cells[former[~same]]


def _n_late(rows: _Placed) -> int:
    """Rows whose date is before that of the row of the same ticker above them."""
    order = np.argsort(rows.ticker, kind="stable")
    ticker, day = rows.ticker[order], rows.date[order]
    return int(np.count_nonzero((ticker[1:] == ticker[:-1]) & (day[1:] < day[:-1])))


class _Screen:
    """Bars by place, and which tickers are fit to be used.

    `values` float64[5, T, N] by field, NaN where there is no bar; `bars` bool[T, N]: where there is one; `kept` bool[T].
    """

    def __init__(
        self, name: str, tickers: tuple[str, ...], dates: tuple[str, ...], values: FloatArray
    ) -> None:
        self.name, self.tickers, self.dates, self.values = name, tickers, dates, values
        self.warnings: list[str] = []
        self.bars: BoolArray = np.any(~np.isnan(values[: len(PRICES)]), axis=0)
        self.kept: BoolArray = np.ones(len(tickers), np.bool_)

    def table(self) -> PriceTable:
        """The tickers whose bars are all there and all valid; raises `InputError` when none is."""
        self._leave_out("without any bar", ~np.any(self.bars, axis=1))
        for what, cells in _bad_bars(self.values, self.bars):
            self._leave_out(what, np.any(cells, axis=1), cells)
        gaps = self._gaps()
        self._leave_out(
            "without a bar on a date, after their first one, that others have",
            np.any(gaps, axis=1),
            gaps,
        )
        if not self.kept.any():
            raise InputError([f"{self.name}: no ticker is left", *self.warnings])
        self._tell_outside()
        dates = np.flatnonzero(np.any(self.bars[self.kept], axis=0))
        tickers = [ticker for ticker, wanted in zip(self.tickers, self.kept, strict=True) if wanted]
        values = [field[np.ix_(self.kept, dates)] for field in self.values]
        return price_table([self.dates[idx] for idx in dates], tickers, values, self.warnings)

    def warn(self, line: str) -> None:
        """Add a warning about the source."""
        self.warnings.append(f"{self.name}: {line}")

    def _leave_out(self, what: str, tickers: BoolArray, cells: BoolArray | None = None) -> None:
        """Leave out `tickers`, bool[T]; `cells`, bool[T, N], are the places that are wrong."""
        faulty = np.flatnonzero(self.kept & tickers)
        if not len(faulty):
            return
        names = ", ".join(self.tickers[idx] for idx in faulty[:_N_NAMED]) + (
            ", ..." if len(faulty) > _N_NAMED else ""
        )
        where = (
            ""
            if cells is None
            else f"; the first: {self.tickers[faulty[0]]} {self.dates[cells[faulty[0]].argmax()]}"
        )
        self.warn(f"tickers {what}: {len(faulty)}, left out: {names}{where}")
        self.kept[faulty] = False

    def _gaps(self) -> BoolArray:
        """bool[T, N]: where a ticker in use has no bar after its first one though others have.

        Raises `InputError` when most tickers lack one date: then the date is at fault, not they.
        """
        bars = self.bars[self.kept]
        n_bars = bars.sum(axis=0)
        listed = np.arange(len(n_bars)) >= self.bars.argmax(axis=1)[:, np.newaxis]
        gaps: BoolArray = listed & ~self.bars & (n_bars > 0) & self.kept[:, np.newaxis]
        n_gaps = gaps.sum(axis=0)
        worst = int(n_gaps.argmax())
        n_listed = n_gaps[worst] + n_bars[worst]
        if 2 * n_gaps[worst] > n_listed:
            where = f"only {n_bars[worst]} of {n_listed} tickers have a bar on {self.dates[worst]}"
            raise InputError(
                f"{self.name}: {where}; complete that date, end the prices before it, or leave it out"
            )
        return gaps

    def _tell_outside(self) -> None:
        opened, high, low, close = self.values[: len(PRICES)]
        outside = np.maximum(opened, close) - high > _ROUNDING * high
        outside |= low - np.minimum(opened, close) > _ROUNDING * low
        places = np.argwhere(outside & self.kept[:, np.newaxis])
        if len(places):
            ticker, idx = places[0]
            where = f"{self.tickers[ticker]} {self.dates[idx]}"
            self.warn(
                f"bars with open or close outside low..high: {len(places)}, kept; the first: {where}"
            )


def _bad_bars(values: FloatArray, bars: BoolArray) -> Iterator[tuple[str, BoolArray]]:
    """What may be wrong with a bar, and where it is so, bool[T, N]."""
    prices = values[: len(PRICES)]
    _, high, low, _ = prices
    yield "with a missing or non-finite price", bars & np.any(~np.isfinite(prices), axis=0)
    yield "with a price that is not above 0", np.any(prices <= 0, axis=0)
    yield "with high below low", high < low
