"""Test whether signals know the outcome of the day they are dated.

A signal of day d must be known before the open of d. Signals that were computed at the close of d
agree with its outcome, for or against, and with that of the next day no more than by chance. The
excess of an algorithm on a day is its hit rate minus the win rate of all tickers; the gap is the
mean over algorithms of |mean excess of the same days| - |mean excess of the next days|.

The limits were measured on windows of 4 to 61 days of the default algorithms' signals, on S&P 500
bars of 2015-2020 (16, 60 and all tickers) and on random walks. Properly dated: 1 alarm in 1,300
windows with one algorithm, 1 in 18,000 with two or more. Dated one day early, on all tickers: found
in 1 of 5 windows of 5 days, 4 of 5 of 10 and nearly all of 20; a gap of 35 points is found from 4
days on. Where only outcomes of buys are known there was no alarm, and much less is found.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from mp2.data import bitset
from mp2.data.arrays import BoolArray, FloatArray
from mp2.data.holding import Holding
from mp2.data.signal_table import SignalTable

_LEAST_DAYS = 3
# Percentage points: less noise than this is chance in few tickers.
_LEAST_NOISE = 5.0


def look_ahead_warning(
    signals: SignalTable,
    won: BoolArray,
    known: BoolArray,
    *,
    only_bought: bool,
    shift: int,
    rule: Holding,
) -> str | None:
    """Return a warning when signals seem to know the day they are dated; else None.

    `won` and `known`, bool[D, T']: the outcomes of each day; the tickers of the table come first.
    `only_bought`: outcomes are known of bought tickers alone, so there is nothing to compare with.
    """
    later_by = shift + 1
    # What is bought at the close may be known by then.
    known_on = "that day" if rule.bought == "open" else "the session after it"
    remedy = (
        f"if they are computed at the close of {known_on}, read them with shift={later_by} "
        f"(--shift {later_by})"
    )
    won = won & known
    n_known = known.sum(axis=1)
    base = 100.0 * won.sum(axis=1) / np.maximum(n_known, 1)
    n_days = len(base)
    if n_days < _LEAST_DAYS:
        return None
    # Of all tickers, so many never rose in a row of days.
    high = 60.0 + 50.0 / sqrt(n_days)
    if only_bought and base.mean() > high and base.min() > 60.0:
        return f"of the (day, ticker) bought, {base.mean():.1f}% win on the day itself; {remedy}"
    if n_days == _LEAST_DAYS:
        return None
    same = _Excess(signals, won, known, base, 0)
    later = _Excess(signals, won, known, base, 1)
    gaps = abs(same.mean_pp) - abs(later.mean_pp)
    if not np.isfinite(gaps).any():
        return None
    gap = float(np.nanmean(gaps))
    noise = max(_LEAST_NOISE, sqrt(np.nanmean(later.daily_pp**2)))
    n_compared = n_days - 1
    by_noise = (2.0 + 5.0 / n_compared) * noise
    if gap < max(20.0, by_noise) / sqrt(n_compared):
        return None
    worst = int(np.nanargmax(gaps))
    return (
        f"{signals.algos[worst]} hits {same.hit_pp[worst]:.1f}% of its buys on the day itself and "
        f"{later.hit_pp[worst]:.1f}% on the next one; {remedy}"
    )


class _Excess:
    """How much more of their buys algorithms hit than all tickers win, `lag` days later.

    Percentage points, NaN where an algorithm buys nothing: `daily_pp` float64[A, D - 1]; `mean_pp`
    float64[A], every buy counting once; `hit_pp` float64[A] is the hit rate itself.
    """

    def __init__(
        self,
        signals: SignalTable,
        won: BoolArray,
        known: BoolArray,
        base: FloatArray,
        lag: int,
    ) -> None:
        n_tickers = len(signals.tickers)
        n_compared = len(base) - 1
        days = slice(lag, lag + n_compared)
        hits = _totals(signals, won[days, :n_tickers])
        n = _totals(signals, known[days, :n_tickers])
        excess = hits - n * base[days] / 100.0
        with np.errstate(all="ignore"):
            self.daily_pp = 100.0 * excess / n
            self.mean_pp = 100.0 * excess.sum(axis=1) / n.sum(axis=1)
            self.hit_pp = 100.0 * hits.sum(axis=1) / n.sum(axis=1)


def _totals(
    signals: SignalTable,
    chosen: BoolArray,
) -> FloatArray:
    """Count the buys of the first days among chosen tickers bool[D', T], by algorithm and day."""
    totals = np.zeros((len(signals.algos), len(chosen)))
    # By day: a panel of all days would be copied.
    for day, tickers in enumerate(bitset.pack(chosen)):
        counts = bitset.count(signals.buys[:, day] & tickers)
        totals[:, day] = np.bincount(signals.algo_of, counts, len(signals.algos))
    return totals
