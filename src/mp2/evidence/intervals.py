"""The uncertainty of a mean: the two-sided 95% interval of Student's t."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

CONFIDENCE = 0.95

# Halvings of an angle below pi / 2: beyond the precision of a double.
_N_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean of `n` values and its two-sided 95% interval, all in the unit of the values.

    `low` and `high` are None when n is 1, because one value has no spread.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return the mean and 95% t interval of independent values; None without values."""
    n = len(values)
    if n == 0:
        return None
    mean = statistics.fmean(values)
    # One value has no spread.
    if n == 1:
        return Interval(mean, None, None, n)
    deviation = statistics.stdev(values, mean)
    margin = t_quantile(n - 1) * deviation / math.sqrt(n)
    return Interval(
        mean,
        mean - margin,
        mean + margin,
        n,
    )


@cache
def t_quantile(df: int, confidence: float = CONFIDENCE) -> float:
    """Return the t that |T| stays below with probability `confidence` (0..1, exclusive).

    `df` >= 1 are the degrees of freedom.
    """
    low = 0.0
    high = math.pi / 2
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        if _probability_within(middle, df) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(df) * math.tan(low)


def _probability_within(angle: float, df: int) -> float:
    """P(|T| < sqrt(df) tan(angle)), by the finite sums of Abramowitz and Stegun.

    26.7.3 for odd `df`, 26.7.4 for even.
    """
    sine = math.sin(angle)
    cosine = math.cos(angle)
    odd = df % 2
    total = 0.0
    term = 1.0
    if odd:
        term = cosine
    for k in range(2 + odd, df + 1, 2):
        total += term
        term *= (k - 1) / k * cosine * cosine
    if odd:
        return 2 / math.pi * (angle + sine * total)
    return sine * total
