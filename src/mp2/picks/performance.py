"""What trading picks day after day makes of the money: equity, drawdown, Sharpe ratio, turnover.

On each day all money is divided equally over the picks, and it is back in cash when they are sold.
Returns are after costs: every pick is bought and sold, also one that is picked again on the next
day. A day without a pick earns nothing and counts. So the rules of outcomes whose picks overlap in
time with those of the next day need no more money: one is sold at the price at which the next is
bought.

The figures are those of the returns as quantstats has them, to which they can be passed
(`mp2.WalkForward.returns`): without interest, 252 days a year.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from math import sqrt
from typing import Any

import numpy as np

from mp2._document import Names
from mp2.data.arrays import FloatArray
from mp2.data.frames import new_frame

DAYS_PER_YEAR = 252
# The Sharpe ratio of returns that differ by no more would be that of their rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """A series of picks over some days, after costs.

    - `equity`: what 1 became. `max_drawdown_pp`: its deepest fall from an earlier height, 0 or
      less, in percent. `worst_day` (ISO date) returned `worst_day_pp` percent.
    - `sharpe`: mean of the daily returns by their standard deviation, a year; `sharpe_se` is its
      standard error. None for fewer than two days, and where all return the same.
    - `turnover_pp`: the share of the money, in percent, that goes into tickers which were not
      picked on the day before, mean over the days with picks.
    """

    equity: float
    max_drawdown_pp: float
    worst_day: str
    worst_day_pp: float
    sharpe: float | None
    sharpe_se: float | None
    turnover_pp: float

    def text(self) -> str:
        """Return the figures in a few words."""
        parts = [
            f"equity {self.equity:.3f}",
            f"drawdown {self.max_drawdown_pp:.1f}%",
            f"worst day {self.worst_day_pp:+.2f}% ({self.worst_day})",
        ]
        if self.sharpe is not None:
            parts.append(f"Sharpe {self.sharpe:.2f} +- {self.sharpe_se:.2f} a year")
        parts.append(f"turnover {self.turnover_pp:.0f}%")
        return ", ".join(parts)


PERFORMANCE_TYPES: dict[str, type] = {
    "equity": float,
    "max_drawdown_pp": float,
    "worst_day": date,
    "worst_day_pp": float,
    "sharpe": float,
    "sharpe_se": float,
    "turnover_pp": float,
}
"""The fields of `Performance` as columns of a frame."""


def performance(
    days: Sequence[str],
    returns_pp: Sequence[float | None],
    tickers: Sequence[Names],
) -> Performance | None:
    """Return the figures of a series by ISO date; None without a day with picks.

    `returns_pp` are the net returns of the days in percent, None without a pick; `tickers` are what
    is picked.
    """
    n_with_picks = sum(returned is not None for returned in returns_pp)
    if not n_with_picks:
        return None
    returns = as_fractions(returns_pp)
    # From the money before the first day on.
    equity = np.cumprod([1.0, *(1.0 + returns)])
    drawdowns = equity / np.maximum.accumulate(equity) - 1.0
    worst = int(returns.argmin())
    sharpe = None
    error = None
    if len(returns) > 1 and np.ptp(returns) > _ROUNDING:
        deviation = returns.std(ddof=1)
        sharpe = float(sqrt(DAYS_PER_YEAR) * returns.mean() / deviation)
        error = sqrt(DAYS_PER_YEAR) * sharpe_error(returns)
    return Performance(
        equity=float(equity[-1]),
        max_drawdown_pp=100.0 * float(drawdowns.min()),
        worst_day=days[worst],
        worst_day_pp=100.0 * float(returns[worst]),
        sharpe=sharpe,
        sharpe_se=error,
        turnover_pp=100.0 * sum(_shares_bought(tickers)) / n_with_picks,
    )


def as_fractions(returns_pp: Iterable[float | None]) -> FloatArray:
    """Return the returns of days as fractions, 0 for a day without a pick."""
    return np.array([returned or 0.0 for returned in returns_pp]) / 100.0


def sharpe_error(returns: FloatArray) -> float:
    """Return the standard error of the Sharpe ratio of some days, not a year.

    Mertens (2002), *Comments on variance of the IID estimator in Lo (2002)*: Lo's error for
    independent days, corrected for the skewness and kurtosis of the returns; with n - 1 for n, as
    in Bailey and López de Prado (2012), *The Sharpe ratio efficient frontier*. For normal returns
    it is Lo's sqrt((1 + SR^2 / 2) / (n - 1)).
    """
    mean = returns.mean()
    centred = returns - mean
    # The moments of all days, as Mertens has them; the ratio is that of a sample.
    deviation = sqrt(float(np.mean(centred**2)))
    skewness = float(np.mean(centred**3)) / deviation**3
    kurtosis = float(np.mean(centred**4)) / deviation**4
    ratio = float(mean / returns.std(ddof=1))
    variance = 1.0 - skewness * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    # Never negative: the kurtosis is at least 1 + the square of the skewness.
    return sqrt(max(0.0, variance) / (len(returns) - 1))


def performance_row(money: Performance | None) -> list[Any]:
    """Return the values of the columns `PERFORMANCE_TYPES`."""
    if money is None:
        return [None] * len(PERFORMANCE_TYPES)
    values = asdict(money) | {"worst_day": date.fromisoformat(money.worst_day)}
    return [values[name] for name in PERFORMANCE_TYPES]


def _shares_bought(tickers: Iterable[Names]) -> Iterator[float]:
    """Yield the share of the money that each day puts into more of a ticker than the day before."""
    before: dict[str, float] = {}
    for picked in tickers:
        weights = {ticker: 1.0 / len(picked) for ticker in picked}
        bought = []
        for ticker, weight in weights.items():
            more = weight - before.get(ticker, 0.0)
            bought.append(max(0.0, more))
        yield sum(bought)
        before = weights


def returns_series(
    days: Sequence[str],
    returns_pp: Sequence[float | None],
    name: str,
) -> Any:
    """Return daily returns as a pandas series of fractions by date, 0 for a day without a pick."""
    dates = [date.fromisoformat(day) for day in days]
    fractions = as_fractions(returns_pp).tolist()
    rows = list(zip(dates, fractions, strict=True))
    frame = new_frame(rows, {"day": date, name: float}, "pandas")
    return frame.set_index("day")[name]
