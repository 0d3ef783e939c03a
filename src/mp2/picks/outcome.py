"""The outcome of picks: hit rate and open-to-close return, compared with all tickers of the day.

A hit closes above its open. Picks are held in equal parts from open to close, without costs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np

from mp2.data.arrays import BoolArray, FloatArray
from mp2.data.prices import PriceTable
from mp2.errors import InputError
from mp2.picks.records import DayPicks, Outcome, PickStatus, Score


def score(picks: DayPicks, prices: PriceTable) -> Outcome:
    """Score the picks of every size and of the vote; `PickStatus.PENDING` while the day has no bar.

    An assumed day that turned out to be a holiday is scored on the next date of the file: there is
    no bar between them, so the signals are the same. Raises `InputError` for any other day that the
    file spans but does not have.
    """
    dates = prices.dates
    if picks.day > dates[-1]:
        return Outcome(
            run_id=picks.run_id,
            day=picks.day,
            status=PickStatus.PENDING,
            sizes=dict.fromkeys(picks.picks),
            note=f"{picks.day} has no bar yet; the prices end at {dates[-1]}",
        )
    date_idx = bisect_left(dates, picks.day)
    session = dates[date_idx]
    note = None
    if session != picks.day:
        if not picks.assumed or date_idx == 0:
            span = f"though they cover {dates[0]} to {dates[-1]}"
            remedy = "use the file the picks came from"
            raise InputError(f"the prices have no bar on {picks.day}, {span}; {remedy}")
        # No bar lies between the two days, so the signals are the same.
        note = f"{picks.day} was not a trading day; scored on {session}, the next one"
    universe = Universe(
        prices.tickers,
        prices.open[:, date_idx],
        prices.close[:, date_idx],
    )
    sizes: dict[int, Score | None] = dict.fromkeys(picks.picks)
    for size, pick in picks.picks.items():
        if pick:
            sizes[size] = universe.score(pick.tickers)
    return Outcome(
        run_id=picks.run_id,
        day=picks.day,
        status=PickStatus.SCORED,
        session=session,
        n_universe=universe.n,
        universe_hit_rate_pp=universe.hit_rate_pp,
        universe_return_pp=universe.mean_return_pp,
        sizes=sizes,
        votes=universe.score(vote.ticker for vote in picks.votes),
        note=note,
    )


class Universe:
    """All tickers with a valid bar on one day.

    `open` and `close` are float64[T], NaN where there is none. `n` tickers have a bar;
    `hit_rate_pp` percent of them closed above their open, and `mean_return_pp` is their mean return
    from open to close in percent. Both are None without a ticker.
    """

    def __init__(
        self,
        tickers: Sequence[str],
        open: FloatArray,
        close: FloatArray,
    ) -> None:
        # A hit and a return need both prices.
        valid = np.flatnonzero(np.isfinite(open) & np.isfinite(close)).tolist()
        self._index = {tickers[ticker]: i for i, ticker in enumerate(valid)}
        self._hits = close[valid] > open[valid]
        self._returns_pp = 100.0 * (close[valid] / open[valid] - 1.0)
        self.n = len(valid)
        self.hit_rate_pp: float | None = None
        self.mean_return_pp: float | None = None
        if valid:
            self.hit_rate_pp = 100.0 * _mean(self._hits)
            self.mean_return_pp = _mean(self._returns_pp)

    def score(self, tickers: Iterable[str]) -> Score:
        """Compare some tickers with all; tickers without a bar are counted apart."""
        picked = list(tickers)
        priced = [self._index[ticker] for ticker in picked if ticker in self._index]
        n_unpriced = len(picked) - len(priced)
        # Without a rate on either side there is nothing to compare.
        if self.hit_rate_pp is None or self.mean_return_pp is None or not priced:
            return Score(n_unpriced=n_unpriced)
        hit_rate_pp = 100.0 * _mean(self._hits[priced])
        mean_return_pp = _mean(self._returns_pp[priced])
        return Score(
            n_picks=len(priced),
            n_unpriced=n_unpriced,
            n_hits=int(self._hits[priced].sum()),
            hit_rate_pp=hit_rate_pp,
            mean_return_pp=mean_return_pp,
            hit_difference_pp=hit_rate_pp - self.hit_rate_pp,
            return_difference_pp=mean_return_pp - self.mean_return_pp,
        )


def _mean(values: FloatArray | BoolArray) -> float:
    return float(values.mean())
