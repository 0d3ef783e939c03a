"""Which bars repeat the bar before, and which dates are no sessions of a market.

A bar is *stale* when all four prices equal those of the ticker's bar before, or all equal its
close. Tables are filled like that to give all tickers the same dates, and vendors send such rows on
holidays, for halted tickers and after the end of a listing. A signal of such a day has seen the
move that it is judged by, so these bars must not count as days.

Arrays are float64[5, T, N] (open, high, low, close, volume) and bool[T, N]. A ticker's bar before
is its last one, however many dates lie between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mp2.data.arrays import BoolArray, FloatArray, IndexArray

MAX_SESSIONS_BACK = 5
"""A ticker without a bar for more sessions than these may not trade any more."""

_MAX_STALE_IN_A_ROW = 5
_CLOSED_SHARE = 0.95
# With fewer bars, all may be stale by chance.
_MIN_BARS = 5
# Where a share of the tickers trades, the date is a session of their market. Weekends need more:
# with a few coins among stocks every one of them would be a date.
_SESSION_SHARE = 0.25
_WEEKEND_SHARE = 0.5
_WEEKS = 8
# NumPy 2.5 refuses to add a plain number to a date.
_DAY = np.timedelta64(1, "D")


def days_of(dates: Sequence[str]) -> npt.NDArray[np.datetime64]:
    """Return ISO dates as an array of days."""
    return np.array(dates, "datetime64[D]")


def find_stale(values: FloatArray, bars: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Return which bars are stale, and which of these have a new volume: bool[T, N] each."""
    cells = np.flatnonzero(bars)
    flat = values.reshape(len(values), -1)
    close = flat[3, cells]
    # Few closes equal the one before, so the other prices are compared for few bars.
    candidates = np.flatnonzero(close[1:] == close[:-1])
    before = cells[candidates]
    after = cells[candidates + 1]
    prices = flat[:4, after]
    repeats = (prices == flat[:4, before]).all(axis=0)
    repeats |= (prices == flat[3, before]).all(axis=0)
    n_dates = bars.shape[1]
    repeats &= before // n_dates == after // n_dates
    volume = flat[4, after]
    has_new_volume = (volume > 0) & (volume != flat[4, before])
    stale = _mask(bars.shape, after[repeats])
    return stale, _mask(bars.shape, after[repeats & has_new_volume])


def long_runs(bars: BoolArray, stale: BoolArray) -> BoolArray:
    """Return the stale bars of long runs, each without its first: bool[T, N].

    A ticker rests for some days and is halted or delisted after more.
    """
    cells = np.flatnonzero(bars)
    in_run = stale.reshape(-1)[cells]
    # The first bar of a ticker is never stale, so no run goes on in the next ticker.
    starts = in_run & ~np.roll(in_run, 1)
    run = np.cumsum(starts)
    n_stale = np.bincount(run, in_run)
    is_long = n_stale[run] > _MAX_STALE_IN_A_ROW
    return _mask(bars.shape, cells[in_run & ~starts & is_long])


def _mask(shape: tuple[int, ...], cells: IndexArray) -> BoolArray:
    mask = np.zeros(shape, np.bool_)
    mask.reshape(-1)[cells] = True
    return mask


@dataclass(frozen=True, slots=True)
class Closed:
    """When a market was closed.

    - `dates` bool[N]: nearly all bars are stale. `doubtful` bool[N]: those of them that may be
      sessions, since there are only a few bars, with new volumes, on a weekday.
    - `bars` bool[T, N]: stale bars on other dates, where they are most bars of the date, or where
      the ticker never moves on that day of the weekend.
    """

    dates: BoolArray
    doubtful: BoolArray
    bars: BoolArray


def find_closed(
    dates: Sequence[str],
    bars: BoolArray,
    stale: BoolArray,
    traded: BoolArray,
) -> Closed:
    """Find when a market was closed, of the bars, the stale ones and those with a new volume."""
    n_bars = bars.sum(axis=0)
    n_stale = stale.sum(axis=0)
    days = days_of(dates)
    weekend = ~np.is_busday(days)
    nearly_all = (n_stale > 0) & (n_stale >= _CLOSED_SHARE * n_bars)
    may_trade = (n_bars < _MIN_BARS) & ~weekend & traded.any(axis=0)
    doubtful = nearly_all & may_trade
    most = (n_stale >= _MIN_BARS) & (2 * n_stale >= n_bars)
    filled = stale & most
    # Sundays are those before a working day.
    is_sunday = np.is_busday(days + _DAY)
    for is_day in (weekend & is_sunday, weekend & ~is_sunday):
        n_bars_of_ticker = bars[:, is_day].sum(axis=1)
        n_moves = (bars & ~stale)[:, is_day].sum(axis=1)
        rests = n_moves <= (1 - _CLOSED_SHARE) * n_bars_of_ticker
        filled |= stale & is_day & rests[:, None]
    return Closed(nearly_all & ~doubtful, doubtful, filled & ~nearly_all)


def find_odd(dates: Sequence[str], bars: BoolArray) -> BoolArray:
    """Return the dates, bool[N], on which too small a share of the tickers trades for a session."""
    n_dates = len(dates)
    first_idx = bars.argmax(axis=1)
    last_idx = n_dates - 1 - bars[:, ::-1].argmax(axis=1)
    # A ticker that lacks the last few dates counts: its file may only be older.
    end_idx = np.minimum(last_idx + MAX_SESSIONS_BACK + 1, n_dates)
    has_bars = bars.any(axis=1)
    changes = np.bincount(first_idx[has_bars], minlength=n_dates + 1)
    changes -= np.bincount(end_idx[has_bars], minlength=n_dates + 1)
    n_listed = np.cumsum(changes)[:n_dates]
    share = np.where(np.is_busday(days_of(dates)), _SESSION_SHARE, _WEEKEND_SHARE)
    n_bars = bars.sum(axis=0)
    odd: BoolArray = (n_bars > 0) & (n_bars < share * n_listed)
    return odd


def next_session(dates: Sequence[str]) -> str:
    """Return the first day after the last date on a weekday that usually has bars.

    These are the weekdays of at least every fourth of the last eight weeks; Monday to Friday as
    well while there are less than three weeks to tell from. Holidays are not known.
    """
    days = days_of(dates)
    first = days[-1] + _DAY
    recent = days[days >= first - 7 * _WEEKS * _DAY].astype(np.int64)
    n_weeks = (recent[-1] - recent[0]) // 7 + 1
    # Day 0 is a Thursday; Monday comes first.
    weekday = (recent + 3) % 7
    usual = 4 * np.bincount(weekday, minlength=7) >= n_weeks
    if n_weeks < 3:
        usual[:5] = True
    weekmask = usual.astype(np.int64).tolist()
    return str(np.busday_offset(first, 0, roll="forward", weekmask=weekmask))
