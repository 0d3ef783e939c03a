"""The days that signals are wanted for, and the tickers that may trade on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mp2._document import Names
from mp2.data.arrays import IndexArray
from mp2.data.dates import iso_day
from mp2.data.prices import PriceTable
from mp2.data.sessions import MAX_SESSIONS_BACK, next_session
from mp2.errors import InputError


@dataclass(frozen=True, slots=True)
class WantedDays:
    """The wanted days: dates of the prices from position `first_idx` on.

    The last one may be the day after the prices; it is `assumed` when only its weekday says that it
    is a trading day. `end_idx`: the position after the last date up to the end.
    """

    names: Names
    first_idx: int
    end_idx: int
    assumed: bool = False
    notes: Names = ()

    @property
    def stop_idx(self) -> int:
        """The position after the last day."""
        return self.first_idx + len(self.names)


def wanted_days(
    prices: PriceTable,
    n_days: int,
    end: str | None,
    include_next: bool,
) -> WantedDays:
    """Return the last `n_days` dates up to `end`, and the day after if wanted."""
    dates = prices.dates
    least = 0 if include_next else 1
    if n_days < least:
        raise InputError(f"days: {n_days} is too few; ask for at least {least}")
    if not dates:
        raise InputError("prices: there is no bar")
    stop_idx = len(dates)
    notes: Names = ()
    if end is not None:
        stop_idx = prices.last_idx(end, "end") + 1
        last = dates[stop_idx - 1]
        if iso_day("end", end) != last:
            notes = (f"end: no bars on {end}; {last}, the last day before it, is taken",)
    first_idx = stop_idx - n_days
    # The signal of the first day needs a bar before it.
    if first_idx < 1:
        last = dates[stop_idx - 1]
        need = f"{n_days} up to {last} need {n_days + 1} dates, one of them before"
        span = f"the file has {stop_idx} dates up to it, {dates[0]}..{last}"
        # What was left out may be why.
        raise InputError([f"days: {need}; {span}", *prices.warnings])
    if include_next and stop_idx == len(dates):
        following = prices.next_date or next_session(dates)
        names = (*dates[first_idx:], following)
        return WantedDays(
            names,
            first_idx,
            stop_idx,
            assumed=prices.next_date is None,
            notes=notes,
        )
    return WantedDays(
        dates[first_idx : stop_idx + include_next],
        first_idx,
        stop_idx,
        notes=notes,
    )


def tickers_until(prices: PriceTable, days: WantedDays) -> IndexArray:
    """Return the positions of the tickers whose bars do not end before the days.

    On a day after the prices any ticker may trade that has a recent bar.
    """
    first_idx = days.first_idx
    if days.stop_idx > prices.n_dates:
        first_idx = min(first_idx, max(0, prices.n_dates - 1 - MAX_SESSIONS_BACK))
    has_bar = np.isfinite(prices.close)
    traded_before = has_bar[:, :first_idx].any(axis=1)
    trades_on = has_bar[:, first_idx:].any(axis=1)
    has_ended = traded_before & ~trades_on
    return np.flatnonzero(~has_ended)
