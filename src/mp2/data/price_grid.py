"""Rows of bars to arrays by ticker and date, and what is found out about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from mp2._document import Names
from mp2.data.arrays import BoolArray, IndexArray
from mp2.data.encoding import day_positions, positions
from mp2.data.findings import MAX_NAMED, Finding, counted_finding
from mp2.data.ticker_keys import positions_by_spelling, spelling_findings, trimmed
from mp2.data.wide_bars import PRICES
from mp2.errors import InputError, named

if TYPE_CHECKING:
    import polars as pl

FIELDS = (*PRICES, "volume")


class Rows:
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
        inside = batch.filter(pl.col("date").is_between(self.first, self.last))
        self.n_inside += inside.height
        self.tickers.update(inside["ticker"].unique())
        # Neither null nor NaN.
        has_price = pl.any_horizontal(pl.col(*PRICES).is_not_nan())
        # Categories take 4 bytes a row, texts 16.
        ticker = pl.col("ticker").cast(pl.Categorical)
        self.parts.append(inside.filter(has_price).select(ticker, "date", *FIELDS))

    @property
    def is_cut(self) -> bool:
        """Whether the source has dates after the last one."""
        return bool(max(self.ends) > self.last)

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


class Grid:
    """Bars by ticker and date, and what is wrong with them.

    `values` float64[5, T, N] by field, NaN where there is no bar; `bars` bool[T, N]: where there is
    one that can be used; `lost` bool[T, N]: where there is another one, which was reported.
    """

    def __init__(
        self,
        name: str,
        rows: Rows,
    ) -> None:
        import polars as pl

        frame = pl.concat(rows.parts, how="vertical_relaxed")
        # They are not needed again, and the checks need memory.
        rows.parts.clear()
        days = frame["date"].unique().sort().to_list()
        shown = trimmed(rows.tickers)
        self.name = name
        self.findings: list[Finding] = list(spelling_findings(name, rows.tickers))
        self.tickers = sorted(set(shown.values()))
        self.dates = [day.isoformat() for day in days]
        shape = (len(self.tickers), len(days))
        self.bars = np.zeros(shape, np.bool_)
        self.lost = np.zeros(shape, np.bool_)
        self.values = np.full((len(FIELDS), *shape), np.nan)
        spellings = positions_by_spelling(shown, self.tickers)
        ticker = positions(frame["ticker"], spellings)
        cells = ticker * len(days) + day_positions(frame["date"], days)
        self.bars.reshape(-1)[cells] = True
        for field, grid in zip(FIELDS, self.values, strict=True):
            # All NaN get one bit pattern: the fingerprint must not depend on it.
            column = frame[field].fill_nan(None).to_numpy()
            # A cell holds the last of its rows.
            grid.reshape(-1)[cells] = column
        # Cells fall from one row of a ticker to its next one where the date does.
        by_ticker = cells[np.argsort(ticker, kind="stable")]
        n_late = int(np.count_nonzero(np.diff(by_ticker) < 0))
        if n_late:
            what = "rows that come after a later one of their ticker"
            self._report("unsorted", what, "sorted", n_late)
        if len(cells) > np.count_nonzero(self.bars):
            self._collapse(frame, cells, has_end=not rows.is_cut)

    def _collapse(
        self,
        frame: pl.DataFrame,
        cells: IndexArray,
        *,
        has_end: bool,
    ) -> None:
        """Report rows of one (ticker, date); `has_end`: no later date of the source is cut off.

        Raises `InputError` for rows whose prices disagree, unless the date is the last one of their
        ticker: vendors send the latest bar again when it has changed.
        """
        differs = []
        for field, grid in zip(FIELDS, self.values, strict=True):
            column = frame[field].fill_nan(None).to_numpy()
            kept = grid.reshape(-1)[cells]
            both_missing = np.isnan(kept) & np.isnan(column)
            differs.append((kept != column) & ~both_missing)
        in_price = np.any(differs[:-1], axis=0)
        in_volume = differs[-1] & ~in_price
        ticker, idx = np.divmod(cells, len(self.dates))
        is_last = idx == self.last_idx[ticker]
        refused = cells[in_price & ~(is_last & has_end)]
        if len(refused):
            places = named(self.places(np.unique(refused)), MAX_NAMED)
            remedy = "keep one of them"
            # Their times are in a column of their own, or left out.
            if 2 * len(np.unique(refused)) > np.count_nonzero(self.bars):
                remedy = "most dates have several: make daily bars, if these are within the day"
            raise InputError(
                f"{self.name}: rows that disagree about one (ticker, date): {len(refused)}, "
                f"about {places}; {remedy}"
            )
        for kind, what, is_kind in (
            ("doubled_day", "rows that disagree about their ticker's last date", in_price),
            ("doubled_volume", "rows that differ in their volume alone", in_volume),
        ):
            doubled = np.unique(cells[is_kind])
            self.report_bars(
                kind,
                what,
                "the later row counts",
                doubled,
                self.places(doubled),
                n=int(np.count_nonzero(is_kind)),
                more="",
            )
        n_repeated = len(cells) - int(np.count_nonzero(self.bars))
        n_same = n_repeated - int(np.count_nonzero(in_price | in_volume))
        if n_same:
            self._report("duplicate", "duplicate rows of one (ticker, date)", "collapsed", n_same)

    @property
    def last_idx(self) -> IndexArray:
        """int64[T]: the index of each ticker's last bar."""
        last_idx: IndexArray = len(self.dates) - 1 - self.bars[:, ::-1].argmax(axis=1)
        return last_idx

    # --- findings

    def drop(
        self,
        kind: str,
        what: str,
        where: BoolArray,
        done: str = "left out",
    ) -> None:
        """Leave out the bars at `where`, bool[T, N], and report them."""
        where = where & self.bars
        self.report_bars(kind, what, done, np.flatnonzero(where))
        self.bars &= ~where
        self.lost |= where

    def drop_dates(self, where: BoolArray) -> None:
        """Leave out the dates at `where`, bool[N]."""
        if where.any():
            self.dates = [self.dates[idx] for idx in np.flatnonzero(~where)]
            self.values = np.ascontiguousarray(self.values[:, :, ~where])
            self.bars = np.ascontiguousarray(self.bars[:, ~where])
            self.lost = np.ascontiguousarray(self.lost[:, ~where])

    def report_dates(
        self,
        kind: str,
        what: str,
        where: BoolArray,
        done: str,
        more: str = "",
    ) -> None:
        """Report the dates at `where`, bool[N]."""
        dates = [self.dates[idx] for idx in np.flatnonzero(where)]
        if dates:
            self._report(
                kind,
                what,
                done,
                len(dates),
                dates,
                more,
                first=dates[0],
                last=dates[-1],
            )

    def report_tickers(
        self,
        kind: str,
        what: str,
        where: BoolArray,
    ) -> None:
        """Report the tickers at `where`, bool[T]."""
        names = self.tickers_at(where)
        if names:
            self._report(kind, what, "left out", len(names), names, tickers=tuple(names))

    def report_bars(
        self,
        kind: str,
        what: str,
        done: str,
        cells: IndexArray,
        examples: Sequence[str] | None = None,
        *,
        n: int | None = None,
        more: str | None = None,
        places: Names = (),
    ) -> None:
        """Report the bars at some ascending positions in bool[T, N], if there are any.

        By default examples are the tickers, and the first bar is named.
        """
        if not len(cells):
            return
        tickers, dates = np.divmod(cells, len(self.dates))
        names = tuple(self.tickers[ticker] for ticker in np.unique(tickers))
        if more is None:
            more = f"; the first: {self.places(cells[:1])[0]}"
        self._report(
            kind,
            what,
            done,
            len(cells) if n is None else n,
            names if examples is None else examples,
            more,
            tickers=names,
            places=places,
            first=self.dates[dates.min()],
            last=self.dates[dates.max()],
        )

    def _report(
        self,
        kind: str,
        *args: Any,
        **details: Any,
    ) -> None:
        self.findings.append(counted_finding(self.name, kind, *args, **details))

    def places(self, cells: IndexArray) -> list[str]:
        """Return ticker and date of some positions in bool[T, N]."""
        tickers, dates = np.divmod(cells, len(self.dates))
        pairs = zip(tickers.tolist(), dates.tolist(), strict=True)
        return [f"{self.tickers[ticker]} {self.dates[idx]}" for ticker, idx in pairs]

    def tickers_at(self, where: Any) -> list[str]:
        """Return the tickers at `where`, bool[T]."""
        return [self.tickers[ticker] for ticker in np.flatnonzero(where)]
