"""Rows of bars to arrays by ticker and date: which bars are there, and which can be used."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from mp2.data.arrays import BoolArray, IndexArray
from mp2.data.column_names import named
from mp2.data.encoding import day_positions, positions
from mp2.data.findings import MAX_NAMED, Finding
from mp2.data.ticker_keys import positions_by_spelling, spelling_findings, trimmed
from mp2.data.wide_bars import PRICES
from mp2.errors import InputError

if TYPE_CHECKING:
    import polars as pl

FIELDS = (*PRICES, "volume")
# Relative; float32 prices are rounded by 6e-8.
_ROUNDING = 1e-6


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
        self.parts.append(inside.filter(has_price).select(ticker, "date", *FIELDS))

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
    """Bars by ticker and date, and which tickers can be used.

    `values` float64[5, T, N] by field, NaN where there is no bar; `bars` bool[T, N]: where there is
    one; `kept` bool[T].
    """

    def __init__(
        self,
        name: str,
        rows: Rows,
    ) -> None:
        import polars as pl

        frame = pl.concat(rows.parts, how="vertical_relaxed")
        days = frame["date"].unique().sort().to_list()
        shown = trimmed(rows.tickers)
        self.name = name
        self.findings: list[Finding] = list(spelling_findings(name, rows.tickers))
        self.tickers = sorted(set(shown.values()))
        self.dates = [day.isoformat() for day in days]
        shape = (len(self.tickers), len(days))
        self.kept = np.ones(len(self.tickers), np.bool_)
        self.bars = np.zeros(shape, np.bool_)
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
        n_late = np.count_nonzero(np.diff(by_ticker) < 0)
        if n_late:
            line = f"rows that come after a later one of their ticker: {n_late}, sorted"
            self.report("unsorted", line, "sorted", n=n_late)
        if len(cells) > np.count_nonzero(self.bars):
            self._collapse(frame, cells, has_end=rows.next_date is None)

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
            differs.append((kept != column) & ~(np.isnan(kept) & np.isnan(column)))
        in_price = np.any(differs[:-1], axis=0)
        in_volume = differs[-1] & ~in_price
        n_dates = len(self.dates)
        last_idx = n_dates - 1 - self.bars[:, ::-1].argmax(axis=1)
        is_last = cells % n_dates == last_idx[cells // n_dates]
        refused = cells[in_price & ~(is_last & has_end)]
        if len(refused):
            places = named([self._place(cell) for cell in np.unique(refused)], MAX_NAMED)
            remedy = "keep one of them"
            # Their times are in a column of their own, or left out.
            if 2 * len(np.unique(refused)) > np.count_nonzero(self.bars):
                remedy = "most dates have several: make daily bars, if these are within the day"
            raise InputError(
                f"{self.name}: rows that disagree about one (ticker, date): {len(refused)}, "
                f"about {places}; {remedy}"
            )
        self._report_rows(
            "doubled_day", "rows that disagree about their ticker's last date", cells[in_price]
        )
        self._report_rows(
            "doubled_volume", "rows that differ in their volume alone", cells[in_volume]
        )
        n_repeated = len(cells) - np.count_nonzero(self.bars)
        n_same = n_repeated - np.count_nonzero(in_price | in_volume)
        if n_same:
            line = f"duplicate rows of one (ticker, date): {n_same}, collapsed"
            self.report("duplicate", line, "collapsed", n=n_same)

    def _report_rows(
        self,
        kind: str,
        what: str,
        cells: IndexArray,
    ) -> None:
        """Report rows that are not in the grid, since a later one of their cell is."""
        if not len(cells):
            return
        done = "the later row counts"
        distinct = np.unique(cells)
        places = [self._place(cell) for cell in distinct]
        ticker, idx = np.divmod(distinct, len(self.dates))
        self.report(
            kind,
            f"{what}: {len(cells)}, {done}: {named(places, MAX_NAMED)}",
            done,
            n=len(cells),
            tickers=tuple(self.tickers[number] for number in np.unique(ticker)),
            first=self.dates[idx.min()],
            last=self.dates[idx.max()],
        )

    def _place(self, cell: Any) -> str:
        ticker, idx = divmod(int(cell), len(self.dates))
        return f"{self.tickers[ticker]} {self.dates[idx]}"

    def report(self, kind: str, line: str, done: str, **details: Any) -> None:
        """Add a finding about the source; the details are fields of `Finding`."""
        self.findings.append(Finding(kind=kind, line=f"{self.name}: {line}", done=done, **details))

    def validate(self) -> None:
        """Keep the tickers whose bars are complete and valid.

        Raises `InputError` when no ticker is left.
        """
        prices = self.values[: len(PRICES)]
        opened, high, low, close = prices
        is_missing = ~np.isfinite(prices).all(axis=0)
        # In this order: a bad ticker must not make gaps for the others.
        has_bar = np.any(self.bars, axis=1, keepdims=True)
        self._leave_out("no_bar", "without any bar", ~has_bar)
        self._leave_out("bad_bar", "with a missing or non-finite price", self.bars & is_missing)
        self._leave_out("bad_bar", "with a price that is not above 0", np.any(prices <= 0, axis=0))
        self._leave_out("bad_bar", "with high below low", high < low)
        self._leave_out(
            "hole", "without a bar on a date, after their first one, that others have", self._gaps()
        )
        if not self.kept.any():
            lines = [finding.line for finding in self.findings]
            raise InputError([f"{self.name}: no ticker is left", *lines])
        is_outside = np.maximum(opened, close) - high > _ROUNDING * high
        is_outside |= low - np.minimum(opened, close) > _ROUNDING * low
        outside = np.flatnonzero(is_outside & self.kept[:, None])
        if len(outside):
            n_outside = len(outside)
            line = (
                f"bars with open or close outside low..high: {n_outside}, kept; "
                f"the first: {self._place(outside[0])}"
            )
            self.report("outside_range", line, "kept", n=n_outside)
        # Dates on which only tickers left out have a bar go, too.
        dates = np.flatnonzero(self.bars[self.kept].any(axis=0))
        self.dates = [self.dates[idx] for idx in dates]
        self.tickers = [self.tickers[idx] for idx in np.flatnonzero(self.kept)]
        self.values = self.values[:, self.kept][:, :, dates]

    def _leave_out(
        self,
        kind: str,
        what: str,
        is_wrong: BoolArray,
    ) -> None:
        """Leave out the tickers that are wrong on a date, bool[T, N], or at all, bool[T, 1]."""
        wrong = is_wrong & self.kept[:, None]
        numbers = np.flatnonzero(np.any(wrong, axis=1))
        if not len(numbers):
            return
        names = [self.tickers[number] for number in numbers]
        line = f"tickers {what}: {len(names)}, left out: {named(names, MAX_NAMED)}"
        if wrong.shape == self.bars.shape:
            line += f"; the first: {self._place(wrong.argmax())}"
        self.report(kind, line, "left out", n=len(names), tickers=tuple(names))
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
