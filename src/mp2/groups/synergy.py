"""Day weights before a search and the final pick after it.

Score and eligibility of a group are the kernel's (`_kernel/score.pxd`); `_recurse.describe` gives
them for any groups. Sums over days run in date order, as the kernel's do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mp2.groups.rules import Rules

FloatArray = npt.NDArray[np.float64]


def day_weights(base_win_rates: FloatArray, rules: Rules) -> FloatArray:
    """Weight of each day, float64[D], from its base win rate in percent: harder days count more."""
    if not base_win_rates.any():
        return np.ones_like(base_win_rates)
    raw = 1.0 + rules.day_weight_slope * (_mean(base_win_rates) - base_win_rates)
    return np.clip(raw, rules.day_weight_min, rules.day_weight_max)


def pick(scores: FloatArray, pp: FloatArray, rules: Rules) -> int | None:
    """Index of the chosen group among the kept ones of a size, None when none was kept.

    `scores` float64[n] come best first, `pp` float64[n, D] are the groups' daily hit rates. Among the groups of stable
    hit rate the choice is one whose score is good but not the very best of all, which luck helps most.
    """
    if not len(scores):
        return None
    stability = _mean(pp) - rules.pick_deviation_weight * _deviation(pp, spare=0)
    threshold = np.sort(stability)[int(rules.pick_quantile * (len(scores) - 1))]
    pool = np.flatnonzero(stability >= threshold)
    target = _mean(scores[pool]) + rules.pick_target_deviations * _deviation(scores[pool], spare=1)
    reaching = pool[scores[pool] >= target]
    return int(reaching[np.argmin(scores[reaching] - target)] if len(reaching) else pool[0])


def _deviation(values: FloatArray, *, spare: int) -> FloatArray:
    """Standard deviation over the last axis, dividing by its length less `spare`; 0 when that leaves nothing."""
    n_free = values.shape[-1] - spare
    squares = _sum(np.square(values - _mean(values)[..., np.newaxis]))
    return np.sqrt(squares / n_free) if n_free > 0 else np.zeros_like(squares)


def _mean(values: FloatArray) -> FloatArray:
    mean: FloatArray = _sum(values) / values.shape[-1]
    return mean


def _sum(values: FloatArray) -> FloatArray:
    """Sum over the last axis from left to right; `np.sum` may add in pairs, running sums cannot."""
    running: FloatArray = np.add.accumulate(values, axis=-1)
    return running[..., -1]
