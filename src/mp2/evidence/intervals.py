"""How sure a mean is: the two-sided 95% interval of Student's t."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

CONFIDENCE = 0.95
_HALVINGS = 60  # of an angle below pi / 2: beyond the precision of a double


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean of `n` values and its two-sided 95% interval; `low` and `high` are None when n is 1: one value has no spread.

    All three are in the unit of the values.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Mean and 95% t interval of independent values; None without values."""
    if not values:
        return None
    mean, n = statistics.fmean(values), len(values)
    if n == 1:
        return Interval(mean, None, None, n)
    margin = t_quantile(n - 1) * statistics.stdev(values, mean) / math.sqrt(n)
    return Interval(mean, mean - margin, mean + margin, n)


@cache
def t_quantile(df: int, confidence: float = CONFIDENCE) -> float:
    """The t that |T| stays below with probability `confidence` (0..1, exclusive), for `df` >= 1 degrees of freedom."""
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, df) < confidence else (low, middle)
    return math.sqrt(df) * math.tan(low)


def _within(angle: float, df: int) -> float:
    """P(|T| < sqrt(df) tan(angle)): the finite sums of Abramowitz and Stegun, 26.7.3 (odd `df`) and 26.7.4 (even)."""
    odd, sine, cosine = df % 2, math.sin(angle), math.cos(angle)
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(2 + odd, df + 1, 2):
        total += term
        term *= (k - 1) / k * cosine * cosine
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
