"""What came of picks: their hit rate and open-to-close return on the day, against every ticker with a bar that day.

A hit closes above its open. Picks are held in equal parts from open to close, without costs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from mp2.data.prices import PriceTable
from mp2.errors import InputError
from mp2.picks.records import DayPicks, Outcome, PickStatus, Score

FloatArray = npt.NDArray[np.float64]


def score(picks: DayPicks, prices: PriceTable) -> Outcome:
    """Score the picks of every size and of the vote, or say that the day has no bar yet (`PickStatus.PENDING`).

    An assumed day that turned out a holiday is scored on the next date of the file: no bar lies between, so the signals are
    the same. Any other day the file spans but does not have raises `InputError`.
    """
    session = _session(picks, prices.dates)
    if session is None:
        note = f"{picks.day} has no bar yet; the prices end at {prices.dates[-1]}"
        return Outcome(
            run_id=picks.run_id,
            day=picks.day,
            status=PickStatus.PENDING,
            sizes=dict.fromkeys(picks.picks),
            note=note,
        )
    date_idx = prices.dates.index(session)
    universe = Universe(prices.tickers, prices.open[:, date_idx], prices.close[:, date_idx])
    return Outcome(
        run_id=picks.run_id,
        day=picks.day,
        status=PickStatus.SCORED,
        session=session,
        n_universe=universe.n,
        universe_hit_rate_pp=universe.hit_rate_pp,
        universe_return_pp=universe.mean_return_pp,
        sizes={
            size: None if pick is None else universe.score(pick.tickers)
            for size, pick in picks.picks.items()
        },
        votes=universe.score(vote.ticker for vote in picks.votes),
        note=None
        if session == picks.day
        else f"{picks.day} was no trading day; scored on {session}, the next one",
    )


def _session(picks: DayPicks, dates: Sequence[str]) -> str | None:
    """The date to score on; None when it is still to come."""
    if picks.day > dates[-1]:
        return None
    place = bisect_left(dates, picks.day)
    if dates[place] == picks.day or (picks.assumed and place > 0):
        return dates[place]
    raise InputError(
        f"the prices have no bar on {picks.day}, though they cover {dates[0]} to {dates[-1]}; use the file the picks came from"
    )


class Universe:
    """All tickers with a valid bar on one day: `open` and `close` are float64[T], NaN where there is none."""

    def __init__(self, tickers: Sequence[str], open: FloatArray, close: FloatArray) -> None:
        valid = np.flatnonzero(np.isfinite(open) & np.isfinite(close))
        self.hits: npt.NDArray[np.bool_] = close[valid] > open[valid]
        self.returns_pp: FloatArray = 100.0 * (close[valid] / open[valid] - 1.0)
        self._place = {tickers[t]: i for i, t in enumerate(valid.tolist())}

    @property
    def n(self) -> int:
        """How many tickers have a bar."""
        return len(self.hits)

    @property
    def hit_rate_pp(self) -> float | None:
        """Percent of them that closed above their open; None without any."""
        return 100.0 * float(self.hits.mean()) if self.n else None

    @property
    def mean_return_pp(self) -> float | None:
        """Their mean return from open to close, percent; None without any."""
        return float(self.returns_pp.mean()) if self.n else None

    def score(self, tickers: Iterable[str]) -> Score:
        """The tickers against all; those without a bar are counted apart."""
        picked = list(tickers)
        own = [self._place[ticker] for ticker in picked if ticker in self._place]
        all_rate, all_return = self.hit_rate_pp, self.mean_return_pp
        n_hits = int(self.hits[own].sum())
        rate = 100.0 * n_hits / len(own) if own else None
        mean_return = float(self.returns_pp[own].mean()) if own else None
        return Score(
            n_picks=len(own),
            n_unpriced=len(picked) - len(own),
            n_hits=n_hits,
            hit_rate_pp=rate,
            mean_return_pp=mean_return,
            hit_difference_pp=_difference(rate, all_rate),
            return_difference_pp=_difference(mean_return, all_return),
        )


def _difference(own: float | None, every: float | None) -> float | None:
    return None if own is None or every is None else own - every
