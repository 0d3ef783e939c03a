"""Which bars of a grid can be used: checks that leave out or report the others."""

from __future__ import annotations

import numpy as np

from mp2.data import sessions
from mp2.data.arrays import BoolArray
from mp2.data.findings import MAX_NAMED
from mp2.data.price_grid import Grid
from mp2.data.wide_bars import PRICES
from mp2.errors import InputError, named

# Relative; float32 prices are rounded by 6e-8.
_ROUNDING = 1e-6


def validate(grid: Grid) -> None:
    """Keep the bars that can be used, and the dates and tickers that have one.

    Raises `InputError` when no bar is left.
    """
    has_bar = np.any(grid.bars, axis=1)
    grid.report_tickers("no_bar", "tickers without any bar", ~has_bar)
    drop_bad_bars(grid)
    drop_repeats(grid)
    drop_odd_dates(grid)
    if not grid.dates:
        lines = [finding.line for finding in grid.findings]
        raise InputError([f"{grid.name}: no ticker is left", *lines])
    report_holes(grid)
    report_outside(grid)
    if grid.lost.any():
        grid.values[:, ~grid.bars] = np.nan
    kept = grid.bars.any(axis=1)
    if not kept.all():
        grid.tickers = grid.tickers_at(kept)
        grid.values = grid.values[:, kept]


def drop_bad_bars(grid: Grid) -> None:
    """Leave out bars that cannot be right, and tickers that mostly have such bars."""
    prices = grid.values[: len(PRICES)]
    _, high, low, _ = prices
    n_bars = grid.bars.sum(axis=1)
    is_missing = ~np.isfinite(prices).all(axis=0)
    grid.drop("bad_bar", "bars with a missing or non-finite price", is_missing)
    grid.drop("bad_bar", "bars with a price that is not above 0", np.any(prices <= 0, axis=0))
    grid.drop("bad_bar", "bars with high below low", high < low)
    # What is left of such a ticker is not to be trusted either.
    is_bad: BoolArray = 2 * grid.lost.sum(axis=1) > n_bars
    grid.report_tickers("bad_ticker", "tickers with mostly bad bars", is_bad)
    grid.bars[is_bad] = False


def drop_repeats(grid: Grid) -> None:
    """Leave out dates and bars that only repeat the bar before."""
    stale, traded = sessions.find_stale(grid.values, grid.bars)
    if not stale.any():
        return
    closed = sessions.find_closed(grid.dates, grid.bars, stale, traded)
    grid.report_dates(
        "doubtful_session",
        "dates whose bars repeat the bar before, but not its volume",
        closed.doubtful,
        "kept",
    )
    grid.drop(
        "filled",
        "bars that repeat the bar before on dates without trading in their market",
        closed.bars,
    )
    stale &= grid.bars & ~closed.dates
    grid.report_dates(
        "no_session",
        "dates whose bars repeat the bar before (no trading days)",
        closed.dates,
        "left out",
    )
    grid.drop_dates(closed.dates)
    stale = stale[:, ~closed.dates]
    grid.drop(
        "stale",
        "bars that repeat the bar before, more than 5 in a row",
        sessions.long_runs(grid.bars, stale),
        "not tradable from the second on",
    )


def drop_odd_dates(grid: Grid) -> None:
    """Leave out dates on which few tickers have a bar, and those without any."""
    odd = sessions.find_odd(grid.dates, grid.bars)
    names = grid.tickers_at(grid.bars[:, odd].any(axis=1))
    grid.report_dates(
        "odd_date",
        "dates on which only a few tickers have a bar",
        odd,
        "left out",
        f"; bars of {named(names, MAX_NAMED)}",
    )
    # Dates on which all bars were left out go, too.
    grid.drop_dates(odd | ~grid.bars.any(axis=0))


def report_holes(grid: Grid) -> None:
    """Report dates without a bar within the bars of a ticker, and tickers that end early."""
    n_dates = len(grid.dates)
    idx = np.arange(n_dates)
    has_bar: BoolArray = np.any(grid.bars, axis=1)
    first_idx = grid.bars.argmax(axis=1)
    last_idx = grid.last_idx
    ended = last_idx < n_dates - 1 - sessions.MAX_SESSIONS_BACK
    end_idx = np.where(ended, last_idx, n_dates)
    is_listed = (idx > first_idx[:, None]) & (idx < end_idx[:, None])
    is_listed &= has_bar[:, None]
    grid.report_bars(
        "hole",
        "missing bars on dates that others have",
        "without signal and outcome",
        np.flatnonzero(is_listed & ~grid.bars & ~grid.lost),
    )
    # Stale bars after the end were reported.
    ended &= has_bar & ~grid.lost.any(axis=1)
    grid.report_bars(
        "ended",
        "tickers whose bars end early",
        "used up to then",
        (np.arange(len(grid.tickers)) * n_dates + last_idx)[ended],
    )


def report_outside(grid: Grid) -> None:
    """Report bars whose open or close is outside their range; they are kept."""
    opened, high, low, close = grid.values[: len(PRICES)]
    is_outside = np.maximum(opened, close) - high > _ROUNDING * high
    is_outside |= low - np.minimum(opened, close) > _ROUNDING * low
    grid.report_bars(
        "outside_range",
        "bars with open or close outside low..high",
        "kept",
        np.flatnonzero(is_outside & grid.bars),
        examples=(),
    )
